"""The client of Kubeflow Pipelines."""

from __future__ import annotations

import json
from typing import Any

import yaml

from cluster.engines import LISTED, EngineRun, RunState, Schedule, Submission
from cluster.kubeflow_api import KubeflowApi
from pipeline.deployment import DeploymentSettings
from pipeline.steps import STEPS

PAGE = 100  # schedules in a response
STATES: dict[str, RunState] = {
    "PENDING": "waiting",
    "RUNNING": "running",
    "PAUSED": "running",
    "CANCELING": "running",
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "canceled",
}


class Kubeflow:
    """A client of Kubeflow Pipelines. Every method may raise `EngineError`.

    Args:
        deployment: with the host and the credentials.

    Raises:
        ConfigError: the address of the API server is missing or invalid.
        EngineError: a kubeconfig or token file cannot be read.
    """

    def __init__(self, deployment: DeploymentSettings):
        self._deployment = deployment
        self._api = KubeflowApi(deployment.host, deployment.access)

    def check(self) -> None:
        """Checks that the engine can be reached and accepts the credentials."""
        self._api.call("GET", "healthz")

    def start(self, submission: Submission) -> EngineRun:
        """Starts a run."""
        return self._read_run(self._api.call("POST", "runs", body=self._body(submission)))

    def schedule(self, submission: Submission) -> Schedule:
        """Creates a schedule of runs."""
        return self._read_schedule(self._api.call("POST", "recurringruns", body=self._body(submission)))

    def runs(self, pipeline: str, limit: int = LISTED) -> list[EngineRun]:
        """Returns the newest runs of a pipeline, newest first, without their steps."""
        experiment = self._experiment(pipeline)
        if not experiment:
            return []
        query = {"experiment_id": experiment, "sort_by": "created_at desc", "page_size": str(limit)}
        runs = [self._read_run(run) for run in self._api.call("GET", "runs", query).get("runs", [])]
        # An experiment named in the configuration may contain runs of other pipelines.
        return [run for run in runs if not self._deployment.experiment or pipeline in run.name]

    def run(self, run_id: str) -> EngineRun:
        """Returns a run with its steps."""
        return self._read_run(self._api.call("GET", f"runs/{run_id}"))

    def schedules(self, pipeline: str) -> list[Schedule]:
        """Returns the schedules of a pipeline."""
        experiment = self._experiment(pipeline)
        if not experiment:
            return []
        schedules: list[Schedule] = []
        token = ""
        while True:
            query = {"experiment_id": experiment, "page_size": str(PAGE), "page_token": token}
            response = self._api.call("GET", "recurringruns", query)
            schedules += [self._read_schedule(schedule) for schedule in response.get("recurringRuns", [])]
            token = response.get("next_page_token", "")
            if not token:
                return [schedule for schedule in schedules if schedule.name == pipeline]

    def pause(self, schedule: Schedule) -> None:
        """Pauses a schedule."""
        self._api.call("POST", f"recurringruns/{schedule.id}:disable")

    def resume(self, schedule: Schedule) -> None:
        """Resumes a paused schedule, without the runs that it missed."""
        self._api.call("POST", f"recurringruns/{schedule.id}:enable")

    def delete(self, schedule: Schedule) -> None:
        """Deletes a schedule, but not its runs."""
        self._api.call("DELETE", f"recurringruns/{schedule.id}")

    def request(self, submission: Submission) -> dict[str, Any]:
        """Returns the request of a submission, without credentials."""
        spec, *platform = yaml.safe_load_all(submission.file.read_text(encoding="utf-8"))
        body: dict[str, Any] = {
            "display_name": submission.run_name,
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec,
            "runtime_config": {
                "parameters": dict(submission.parameters),
                "pipeline_root": self._deployment.pipeline_root,
            },
        }
        if self._deployment.service_account:
            body["service_account"] = self._deployment.service_account
        if submission.cron:
            body |= {
                "display_name": submission.pipeline,
                # Kubeflow's cron expressions start with seconds.
                "trigger": {"cron_schedule": {"cron": f"0 {submission.cron}"}},
                "no_catchup": True,
                "max_concurrency": "1",
                "mode": "ENABLE",
            }
        return body

    def _body(self, submission: Submission) -> dict[str, Any]:
        """Returns a request with the ID of the experiment, which is created if it does not exist."""
        return self.request(submission) | {"experiment_id": self._experiment(submission.pipeline, create=True)}

    def _experiment(self, pipeline: str, create: bool = False) -> str:
        """Returns the ID of the experiment that groups the runs of a pipeline; empty if there is none."""
        name = self._deployment.experiment or pipeline
        namespace = {"namespace": self._deployment.namespace} if self._deployment.namespace else {}
        predicates = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
        response = self._api.call("GET", "experiments", namespace | {"filter": json.dumps(predicates)})
        experiments = response.get("experiments", [])
        if not experiments and create:
            experiments = [self._api.call("POST", "experiments", body={"display_name": name, **namespace})]
        return self._api.id_of(experiments[0], "experiment_id") if experiments else ""

    def _read_run(self, run: dict[str, Any]) -> EngineRun:
        run_id = self._api.id_of(run, "run_id")
        tasks = run.get("run_details", {}).get("task_details", [])
        return EngineRun(
            id=run_id,
            name=run.get("display_name", ""),
            state=STATES.get(run.get("state", ""), "waiting"),
            started=run.get("created_at", ""),
            page=self._page("runs", run_id),
            steps={
                task["display_name"]: STATES.get(task.get("state", ""), "waiting")
                for task in tasks
                if task.get("display_name") in STEPS
            },
        )

    def _read_schedule(self, schedule: dict[str, Any]) -> Schedule:
        schedule_id = self._api.id_of(schedule, "recurring_run_id")
        cron = schedule.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        return Schedule(
            id=schedule_id,
            name=schedule.get("display_name", ""),
            cron=cron.removeprefix("0 "),
            active=schedule.get("status", "ENABLED") == "ENABLED",
            page=self._page("recurringrun", schedule_id),
        )

    def _page(self, kind: str, record_id: str) -> str:
        return f"{self._api.pages}/#/{kind}/details/{record_id}" if self._api.pages else ""
