"""Types that the clients of both engines share, and the check of a schedule."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pipeline.config import ConfigError, PipelineConfig
from pipeline.deployment import Engine

if TYPE_CHECKING:
    from cluster.kubeflow import Kubeflow
    from cluster.vertex import Vertex

Client: TypeAlias = "Kubeflow | Vertex"
RunState = Literal["waiting", "running", "succeeded", "failed", "canceled"]
LISTED = 20


class EngineError(Exception):
    """An engine cannot be reached, or refuses a request. The message is one line."""


@dataclass(frozen=True)
class Submission:
    """A compiled pipeline to run or to schedule.

    Attributes:
        pipeline: name of the pipeline.
        file: the compiled pipeline.
        run_name: display name of the run.
        parameters: runtime parameters that differ from the defaults in the file.
        cron: five fields of cron, for a schedule; empty for one run now.
        time_zone: time zone of the schedule, such as `Europe/Berlin`; empty for the engine's.
    """

    pipeline: str
    file: Path
    run_name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    cron: str = ""
    time_zone: str = ""


@dataclass(frozen=True)
class EngineRun:
    """A run, as an engine reports it.

    Attributes:
        id: the engine's ID of the run.
        name: display name.
        state: state of the run.
        started: start time, ISO 8601.
        page: URL of the run's page; empty if the user interface cannot be reached from here.
        steps: state of each step that has started, by name.
        errors: the engine's error of each failed step, by name.
    """

    id: str
    name: str
    state: RunState
    started: str = ""
    page: str = ""
    steps: Mapping[str, RunState] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state not in ("waiting", "running")


@dataclass(frozen=True)
class Schedule:
    """A schedule of runs.

    Attributes:
        id: the engine's ID of the schedule.
        name: name of the pipeline.
        cron: cron expression, with a time zone if it has one.
        active: whether it starts runs; False while it is paused.
        page: URL of its page, or name of its resource.
    """

    id: str
    name: str
    cron: str
    active: bool
    page: str = ""


def check_schedule(config: PipelineConfig, engine: Engine, cron: str, time_zone: str) -> None:
    """Checks the options of a schedule.

    Raises:
        ConfigError: an option is invalid, or all runs would reuse the first run's data from the cache.
    """
    if not cron:
        if time_zone:
            raise ConfigError(f"--time-zone {time_zone} requires --cron")
        return
    if cron.startswith(("TZ=", "CRON_TZ=")):
        raise ConfigError(f"--cron {cron!r}: expected five fields; set the time zone with --time-zone")
    if len(cron.split()) != 5:
        raise ConfigError(f"--cron {cron!r}: expected five fields, such as '0 3 * * *' for three o'clock each night")
    if config.deployment.cache:
        raise ConfigError("--cron with deployment.cache: every run would reuse the data of the first run")
    if not time_zone:
        return
    if engine == "kubeflow":
        raise ConfigError(
            f"--time-zone {time_zone}: Kubeflow Pipelines has one time zone for all schedules of an installation "
            "(cronScheduleTimezone, UTC by default); use that time zone in --cron"
        )
    if time_zone not in zoneinfo.available_timezones():
        raise ConfigError(f"--time-zone {time_zone}: no such time zone; expected a name such as Europe/Berlin")


def first_line(text: str) -> str:
    """Returns the first line of an engine's error message."""
    return next(iter(text.strip().splitlines()), "no reason given")
