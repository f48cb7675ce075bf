"""The client of Vertex AI Pipelines, based on Google's client library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from cluster.engines import LISTED, EngineError, EngineRun, RunState, Schedule, Submission, first_line
from pipeline.config import ConfigError
from pipeline.deployment import DeploymentSettings
from pipeline.steps import STEPS

STATES: dict[str, RunState] = {
    "QUEUED": "waiting",
    "PENDING": "waiting",
    "RUNNING": "running",
    "CANCEL_PENDING": "running",
    "CANCELLING": "running",
    "PAUSED": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELLED": "canceled",
    "NOT_TRIGGERED": "canceled",
}


class Vertex:
    """A client of Vertex AI Pipelines, with the methods of `Kubeflow`. Every method may raise `EngineError`.

    Args:
        deployment: with the project and the region.

    Raises:
        ConfigError: the project or the region is missing.
    """

    def __init__(self, deployment: DeploymentSettings):
        for option in ("project", "region"):
            if not getattr(deployment, option):
                raise ConfigError(f"--{option} is missing: Vertex AI runs pipelines in a project and a region")
        self._deployment = deployment
        self._place: dict[str, Any] = {"project": deployment.project, "location": deployment.region}

    def check(self) -> None:
        import google.auth

        try:
            google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        except google.auth.exceptions.GoogleAuthError:
            raise EngineError(
                "there are no credentials for Google Cloud: run `gcloud auth application-default login`, or set "
                "GOOGLE_APPLICATION_CREDENTIALS to a key file"
            ) from None

    def start(self, submission: Submission) -> EngineRun:
        with _errors():
            job = self._job(submission)
            job.submit(experiment=self._deployment.experiment or None, **self._network())
            return _read_run(job)

    def schedule(self, submission: Submission) -> Schedule:
        with _errors():
            cron = f"TZ={submission.time_zone} {submission.cron}" if submission.time_zone else submission.cron
            schedule = self._job(submission).create_schedule(cron, submission.pipeline, **self._network())
            return _read_schedule(schedule)

    def runs(self, pipeline: str, limit: int = LISTED) -> list[EngineRun]:
        from google.cloud import aiplatform

        with _errors():
            query = f'pipeline_name="{pipeline}"'
            jobs = aiplatform.PipelineJob.list(query, order_by="create_time desc", **self._place)
            return [_read_run(job) for job in jobs[:limit]]

    def run(self, run_id: str) -> EngineRun:
        from google.cloud import aiplatform

        with _errors():
            return _read_run(aiplatform.PipelineJob.get(run_id, **self._place))

    def schedules(self, pipeline: str) -> list[Schedule]:
        return [_read_schedule(schedule) for schedule in self._schedules(pipeline)]

    def pause(self, schedule: Schedule) -> None:
        for resource in self._schedules(schedule.name, schedule.id):
            with _errors():
                resource.pause()

    def resume(self, schedule: Schedule) -> None:
        for resource in self._schedules(schedule.name, schedule.id):
            with _errors():
                resource.resume(catch_up=False)

    def delete(self, schedule: Schedule) -> None:
        for resource in self._schedules(schedule.name, schedule.id):
            with _errors():
                resource.delete()

    def request(self, submission: Submission) -> dict[str, Any]:
        """Returns the arguments of `aiplatform.PipelineJob`."""
        deployment = self._deployment
        arguments: dict[str, Any] = {
            "display_name": submission.run_name,
            "template_path": str(submission.file),
            "pipeline_root": deployment.pipeline_root,
            "parameter_values": dict(submission.parameters),
            "labels": dict(deployment.labels) or None,
            "encryption_spec_key_name": deployment.encryption_key or None,
            **self._place,
        }
        return {key: value for key, value in arguments.items() if value is not None}

    def _job(self, submission: Submission) -> Any:
        from google.cloud import aiplatform

        return aiplatform.PipelineJob(**self.request(submission))

    def _network(self) -> dict[str, str]:
        names = {"service_account": self._deployment.service_account, "network": self._deployment.network}
        return {name: value for name, value in names.items() if value}

    def _schedules(self, pipeline: str, resource: str = "") -> list[Any]:
        from google.cloud import aiplatform

        with _errors():
            query = f'display_name="{pipeline}"'
            schedules = aiplatform.PipelineJobSchedule.list(query, **self._place)
            return [schedule for schedule in schedules if resource in ("", schedule.resource_name)]


def _read_run(job: Any) -> EngineRun:
    tasks = [task for task in getattr(job, "task_details", None) or [] if task.task_name in STEPS]
    return EngineRun(
        id=job.resource_name,
        name=job.display_name,
        state=_state(job.state),
        started=str(job.create_time.isoformat()) if getattr(job, "create_time", None) else "",
        page=str(job._dashboard_uri()),
        steps={task.task_name: _state(task.state) for task in tasks},
        errors={task.task_name: first_line(task.error.message) for task in tasks if task.error.message},
    )


def _read_schedule(schedule: Any) -> Schedule:
    name = schedule.resource_name
    return Schedule(name, schedule.display_name, schedule.cron, _name(schedule.state) == "ACTIVE", name)


def _state(state: Any) -> RunState:
    return STATES.get(_name(state), "waiting")


def _name(state: Any) -> str:
    """Returns the name of a state without its prefix, such as `RUNNING` for `PIPELINE_STATE_RUNNING`."""
    return str(getattr(state, "name", state)).removeprefix("PIPELINE_STATE_")


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Converts errors of Google's libraries to `EngineError`."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise EngineError(f"Vertex AI: {first_line(str(error))}") from None
