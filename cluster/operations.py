"""Commands for runs and schedules on a cluster: list them, change schedules, follow a run to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.engines import Client, EngineError, EngineRun, RunState, Schedule, Submission
from pipeline.config import ConfigError
from pipeline.deployment import DeploymentSettings, Engine

if TYPE_CHECKING:
    from cluster.outcomes import Outcome

POLL_SECONDS = 10.0
COLORS: dict[RunState, str] = {"succeeded": "green", "failed": "red", "canceled": "red", "running": "yellow"}
SIGNS: dict[RunState, str] = {"succeeded": "✓", "failed": "✗", "canceled": "✗"}
NAME_WIDTH = 20
MAX_FAILED_POLLS = 30  # in a row


def connect(deployment: DeploymentSettings, engine: Engine) -> Client:
    """Returns the client of an engine, without a request to it.

    Raises:
        ConfigError: the address of the engine is missing.
        EngineError: a file with credentials cannot be read.
    """
    if engine == "kubeflow":
        from cluster.kubeflow import Kubeflow

        return Kubeflow(deployment)
    from cluster.vertex import Vertex

    return Vertex(deployment)


def show_runs(client: Client, pipeline: str, console: Console) -> None:
    """Prints the newest runs of a pipeline."""
    runs = client.runs(pipeline)
    if not runs:
        console.print(f"no runs of {pipeline}")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("started", "state", "name", "run"):
        table.add_column(title, no_wrap=title != "name")
    for run in runs:
        state = Text(run.state, COLORS.get(run.state, ""))
        table.add_row(run.started.partition(".")[0].rstrip("Z"), state, run.name, run.id)
    console.print(table)


def show_schedules(client: Client, pipeline: str, console: Console) -> None:
    """Prints the schedules of a pipeline."""
    schedules = client.schedules(pipeline)
    if not schedules:
        console.print(f"no schedules of {pipeline}")
    for schedule in schedules:
        state = "active" if schedule.active else "paused"
        console.print(f"{schedule.cron}  {state}  {schedule.id}", soft_wrap=True)


def change_schedules(client: Client, pipeline: str, change: str, console: Console) -> None:
    """Pauses, resumes or deletes every schedule of a pipeline.

    Raises:
        ConfigError: the pipeline has no schedules.
    """
    schedules = client.schedules(pipeline)
    if not schedules:
        raise ConfigError(f"{change}: {pipeline} has no schedules")
    action: dict[str, Callable[[Schedule], None]] = {
        "pause": client.pause,
        "resume": client.resume,
        "delete": client.delete,
    }
    for schedule in schedules:
        action[change](schedule)
        console.print(f"{change}d: {schedule.cron}  {schedule.id}", soft_wrap=True)


def replace_schedule(client: Client, submission: Submission, console: Console) -> None:
    """Creates a schedule, then deletes the earlier ones of its pipeline, so that a failure leaves at least one."""
    earlier = client.schedules(submission.pipeline)
    schedule = client.schedule(submission)
    zone = submission.time_zone or "the engine's time zone, UTC by default"
    console.print(f"scheduled: {submission.cron} ({zone})  {schedule.page or schedule.id}", soft_wrap=True)
    for old in earlier:
        client.delete(old)
        console.print(f"replaced: {old.cron}  {old.id}", soft_wrap=True)


def follow(
    client: Client,
    run: EngineRun,
    outcome_of: Callable[[EngineRun], Outcome | None],
    console: Console,
    poll_seconds: float = POLL_SECONDS,
) -> bool:
    """Follows a run to its end, and prints a line for each finished step and for the outcome.

    Args:
        client: client of the engine.
        run: the run.
        outcome_of: returns the outcome that the steps of a run recorded; may raise an OSError.
        console: the console.
        poll_seconds: pause between two requests.

    Returns:
        Whether the run succeeded.

    Raises:
        EngineError: the engine can no longer be reached.
    """
    ended: set[str] = set()
    failed_polls = 0
    with console.status(f"{run.name}: {run.state}") as status:
        while True:
            try:
                run = client.run(run.id)
                failed_polls = 0
            except EngineError:  # For example, a broken port-forward or a restarting server.
                failed_polls += 1
                if failed_polls == MAX_FAILED_POLLS:
                    raise
            for step, state in run.steps.items():
                if state in SIGNS and step not in ended:
                    ended.add(step)
                    console.print(Text(f" {SIGNS[state]}", COLORS[state]), f"{step:<{NAME_WIDTH}} {state}")
            if run.ended:
                break
            active = ", ".join(step for step, state in run.steps.items() if state == "running")
            status.update(f"{run.name}: {active or run.state}")
            time.sleep(poll_seconds)
    console.print(Text(run.state, COLORS[run.state]), _in_words(run, outcome_of), sep=": ", soft_wrap=True)
    return run.state == "succeeded"


def _in_words(run: EngineRun, outcome_of: Callable[[EngineRun], Outcome | None]) -> str:
    """Returns one line about the outcome of a run; for a failure the step and its error, if known."""
    record_error, outcome = "", None
    try:
        outcome = outcome_of(run)
    except OSError as error:
        record_error = f" ({error.strerror or error})"
    page = f"; see {run.page}" if run.page else ""
    if outcome and (outcome.step or run.state == "succeeded"):
        return outcome.text
    if run.state == "succeeded":
        return run.page or run.id
    failed = [step for step, state in run.steps.items() if state == "failed"]
    for step in failed:
        if step in run.errors:
            return f"{step}: {run.errors[step]}"
    place = ", ".join(failed) or "before the first step"
    return f"{place}: the log of the step's pod has the reason{record_error}{page}"


def outcomes_in(deployment: DeploymentSettings, pipeline: str) -> Callable[[EngineRun], Outcome | None]:
    """Returns a function that reads the outcome of a run from the run's folder."""

    def read(run: EngineRun) -> Outcome | None:
        from cluster.outcomes import read_outcome  # Imports TFX, which takes seconds.

        root = deployment.pipeline_root.rstrip("/")
        if run.id.startswith("projects/"):  # Vertex: projects/NUMBER/locations/REGION/pipelineJobs/ID
            _, number, *_, job = run.id.split("/")
            return read_outcome(f"{root}/{number}/{job}")
        return read_outcome(f"{root}/{pipeline}/{run.id}")

    return read
