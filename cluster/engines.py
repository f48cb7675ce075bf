"""The engines that run a compiled pipeline, as the command line sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipeline.config import ConfigError, PipelineConfig
from pipeline.deployment import Engine

RunState = Literal["waiting", "running", "succeeded", "failed", "canceled"]
LISTED = 20


class EngineError(Exception):
    """An engine cannot be reached, or refuses a request; the message is one line for a person."""


@dataclass(frozen=True)
class Submission:
    """A compiled pipeline, and how it is to be run.

    Attributes:
        pipeline: name of the pipeline.
        file: the compiled pipeline.
        run_name: name of the run that people see.
        parameters: runtime parameters that differ from those of the file.
        cron: five fields of cron, for a schedule; empty for one run now.
        time_zone: of the schedule, such as `Europe/Berlin`; empty for the engine's.
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
        id: of the engine.
        name: that people see.
        state: of the run.
        started: ISO 8601.
        page: address of its page; empty where the engine's pages cannot be reached from here.
        steps: state of each step that has begun, by name.
        errors: what an engine reports of a step that failed, by name.
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
        id: of the engine.
        name: of its pipeline.
        cron: its fields, with the time zone where it has one.
        active: whether it starts runs; False while it is paused.
        page: address of its page, or name of its resource.
    """

    id: str
    name: str
    cron: str
    active: bool
    page: str = ""


class Client(Protocol):
    """Talks to an engine. Every method raises `EngineError`."""

    def check(self) -> None:
        """Makes sure that the engine can be reached, and that it accepts the credentials."""

    def start(self, submission: Submission) -> EngineRun:
        """Starts a run."""

    def schedule(self, submission: Submission) -> Schedule:
        """Creates a schedule of runs."""

    def runs(self, pipeline: str, limit: int = LISTED) -> list[EngineRun]:
        """Returns the newest runs of a pipeline, newest first, without their steps."""

    def run(self, run_id: str) -> EngineRun:
        """Returns a run with its steps."""

    def schedules(self, pipeline: str) -> list[Schedule]:
        """Returns the schedules of a pipeline."""

    def pause(self, schedule: Schedule) -> None:
        """Stops a schedule from starting runs until it is resumed."""

    def resume(self, schedule: Schedule) -> None:
        """Lets a paused schedule start runs again, from now on."""

    def delete(self, schedule: Schedule) -> None:
        """Deletes a schedule; the runs that it started stay."""

    def request(self, submission: Submission) -> dict[str, Any]:
        """Returns what would be sent, without credentials."""


def check_schedule(config: PipelineConfig, engine: Engine, cron: str, time_zone: str) -> None:
    """Makes sure that a schedule is one.

    Raises:
        ConfigError: it is not, or its runs would all see the first one's data.
    """
    if not cron:
        if time_zone:
            raise ConfigError(f"--time-zone {time_zone} is for --cron")
        return
    if cron.startswith(("TZ=", "CRON_TZ=")):
        raise ConfigError(f"--cron {cron!r}: give the time zone as --time-zone, and five fields here")
    if len(cron.split()) != 5:
        raise ConfigError(f"--cron {cron!r}: expected five fields, such as '0 3 * * *' for three o'clock each night")
    if config.deployment.cache:
        raise ConfigError("--cron with deployment.cache: every run would take the first one's data from the cache")
    if not time_zone:
        return
    if engine == "kubeflow":
        raise ConfigError(
            f"--time-zone {time_zone}: Kubeflow Pipelines has one time zone for all schedules of an installation "
            "(cronScheduleTimezone, UTC by default); give --cron in that one"
        )
    import zoneinfo

    if time_zone not in zoneinfo.available_timezones():
        raise ConfigError(f"--time-zone {time_zone}: no such time zone; expected a name such as Europe/Berlin")
