"""Talks to Kubeflow Pipelines through its REST API, v2beta1.

The API server is found by an address, by a context of a kubeconfig file, or from within the cluster. Credentials come
from the environment or a file, never from the command line, which every user of the machine can read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml

from cluster.engines import LISTED, EngineError, EngineRun, RunState, Schedule, Submission
from pipeline.config import ConfigError
from pipeline.deployment import DeploymentSettings
from pipeline.steps import STEPS

API = "apis/v2beta1"
SECONDS = 30.0
PAGE = 100
TOKEN, COOKIE = "KUBEFLOW_TOKEN", "KUBEFLOW_COOKIE"
SYSTEM_NAMESPACE = "kubeflow"  # where Kubeflow's own services run
IN_CLUSTER = f"http://ml-pipeline.{SYSTEM_NAMESPACE}.svc.cluster.local:8888"
BY_KUBERNETES = f"api/v1/namespaces/{SYSTEM_NAMESPACE}/services/ml-pipeline:http/proxy"
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
    """See `engines.Client`.

    Args:
        deployment: says where the API server is, and how to log in.

    Raises:
        ConfigError: it does not say where.
        EngineError: a kubeconfig or token file cannot be read.
    """

    def __init__(self, deployment: DeploymentSettings):
        self._deployment = deployment
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"
        access = deployment.access
        if access.ca_file:
            self._session.verify = access.ca_file
        self._pages = ""
        if deployment.host:
            self._address = self._pages = _address(deployment.host)
            self._called = f"--host {deployment.host}"
        elif access.kube_context:
            self._address = self._by_kubeconfig(access.kube_context)
            self._called = f"context {access.kube_context}"
        elif "KUBERNETES_SERVICE_HOST" in os.environ:
            self._address = IN_CLUSTER
            self._called = IN_CLUSTER
        else:
            raise ConfigError(
                "--host is missing: expected the address of Kubeflow Pipelines, such as http://localhost:8080, or "
                "--set deployment.access.kube_context=NAME for a context of kubectl"
            )
        if token := _token(access.token_file):
            self._session.headers["Authorization"] = f"Bearer {token}"
        if cookie := os.environ.get(COOKIE):
            self._session.headers["Cookie"] = cookie

    def check(self) -> None:
        self._call("GET", "healthz")

    def start(self, submission: Submission) -> EngineRun:
        body = self.request(submission) | {"experiment_id": self._experiment(submission.pipeline, create=True)}
        return self._read_run(self._call("POST", "runs", body=body))

    def schedule(self, submission: Submission) -> Schedule:
        body = self.request(submission) | {"experiment_id": self._experiment(submission.pipeline, create=True)}
        return self._read_schedule(self._call("POST", "recurringruns", body=body))

    def runs(self, pipeline: str, limit: int = LISTED) -> list[EngineRun]:
        experiment = self._experiment(pipeline)
        if not experiment:
            return []
        query = {"experiment_id": experiment, "sort_by": "created_at desc", "page_size": str(limit)}
        runs = [self._read_run(run) for run in self._call("GET", "runs", query).get("runs", [])]
        # An experiment that the configuration names may hold runs of other pipelines.
        return [run for run in runs if not self._deployment.experiment or pipeline in run.name]

    def run(self, run_id: str) -> EngineRun:
        return self._read_run(self._call("GET", f"runs/{run_id}"))

    def schedules(self, pipeline: str) -> list[Schedule]:
        experiment = self._experiment(pipeline)
        if not experiment:
            return []
        listed: list[Schedule] = []
        token = ""
        while True:
            query = {"experiment_id": experiment, "page_size": str(PAGE), "page_token": token}
            answer = self._call("GET", "recurringruns", query)
            listed += [self._read_schedule(schedule) for schedule in answer.get("recurringRuns", [])]
            token = answer.get("next_page_token", "")
            if not token:
                return [schedule for schedule in listed if schedule.name == pipeline]

    def pause(self, schedule: Schedule) -> None:
        self._call("POST", f"recurringruns/{schedule.id}:disable")

    def resume(self, schedule: Schedule) -> None:
        self._call("POST", f"recurringruns/{schedule.id}:enable")

    def delete(self, schedule: Schedule) -> None:
        self._call("DELETE", f"recurringruns/{schedule.id}")

    def request(self, submission: Submission) -> dict[str, Any]:
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
                # Kubeflow's cron begins with seconds.
                "trigger": {"cron_schedule": {"cron": f"0 {submission.cron}"}},
                "no_catchup": True,
                "max_concurrency": "1",
                "mode": "ENABLE",
            }
        return body

    def _experiment(self, pipeline: str, create: bool = False) -> str:
        """Returns the id of the experiment that groups the runs of a pipeline; empty where there is none."""
        name = self._deployment.experiment or pipeline
        where = {"namespace": self._deployment.namespace} if self._deployment.namespace else {}
        wanted = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
        answer = self._call("GET", "experiments", where | {"filter": json.dumps(wanted)})
        experiments = answer.get("experiments", [])
        if not experiments and create:
            experiments = [self._call("POST", "experiments", body={"display_name": name, **where})]
        return _id(self, experiments[0], "experiment_id") if experiments else ""

    def _read_run(self, run: dict[str, Any]) -> EngineRun:
        number = _id(self, run, "run_id")
        tasks = run.get("run_details", {}).get("task_details", [])
        return EngineRun(
            id=number,
            name=run.get("display_name", ""),
            state=STATES.get(run.get("state", ""), "waiting"),
            started=run.get("created_at", ""),
            page=self._page("runs", number),
            steps={
                task["display_name"]: STATES.get(task.get("state", ""), "waiting")
                for task in tasks
                if task.get("display_name") in STEPS
            },
        )

    def _read_schedule(self, schedule: dict[str, Any]) -> Schedule:
        number = _id(self, schedule, "recurring_run_id")
        cron = schedule.get("trigger", {}).get("cron_schedule", {}).get("cron", "")
        return Schedule(
            id=number,
            name=schedule.get("display_name", ""),
            cron=cron.removeprefix("0 "),
            active=schedule.get("status", "ENABLED") == "ENABLED",
            page=self._page("recurringrun", number),
        )

    def _page(self, kind: str, number: str) -> str:
        return f"{self._pages}/#/{kind}/details/{number}" if self._pages else ""

    def _call(
        self, method: str, path: str, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Returns the JSON object that the API server answers."""
        url = f"{self._address}/{API}/{path}"
        try:
            answer = self._session.request(method, url, params=query, json=body, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise EngineError(f"{self._called} cannot be reached: {_reason(error)}") from None
        log_in = f"log in with {TOKEN}, {COOKIE} or a token file; docs/deploy.md"
        if answer.is_redirect:
            place = urlsplit(answer.headers["Location"]).netloc or "a login page"
            raise EngineError(f"{self._called} redirects to {place}: {log_in}")
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not answer.ok:
            message = content.get("message") or content.get("error") if isinstance(content, dict) else ""
            detail = f": {_first_line(str(message))}" if message else ""
            advice = f": {log_in}" if answer.status_code in (401, 403) else ""
            raise EngineError(f"{self._called} answers {answer.status_code} {answer.reason}{detail}{advice}")
        if not isinstance(content, dict):
            raise self.no_kubeflow()
        return content

    def no_kubeflow(self) -> EngineError:
        """Returns the error for an answer that is not one of Kubeflow Pipelines."""
        return EngineError(
            f"{self._called} answers, but not as Kubeflow Pipelines does, and nothing was started; is it a login page, "
            "or another service? `kubectl port-forward` reaches Kubeflow's own"
        )

    def _by_kubeconfig(self, context: str) -> str:
        """Lets the session use the credentials of a context, and returns the address behind Kubernetes' API server."""
        import kubernetes

        config = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_kube_config(client_configuration=config, context=context)
        except (kubernetes.config.ConfigException, OSError) as error:
            raise EngineError(f"deployment.access.kube_context {context}: {_first_line(str(error))}") from None
        if self._session.verify is True:
            self._session.verify = config.ssl_ca_cert or config.verify_ssl
        if config.cert_file:
            self._session.cert = (config.cert_file, config.key_file)
        if authorization := config.get_api_key_with_prefix("authorization"):
            self._session.headers["Authorization"] = authorization
        return f"{config.host.rstrip('/')}/{BY_KUBERNETES}"


def _address(host: str) -> str:
    """Returns the URL of a web server.

    Raises:
        ConfigError: a text is no such URL.
    """
    try:
        parts = urlsplit(host)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return host.rstrip("/")
    except ValueError:  # A port over 65535, or half an IPv6 address.
        pass
    raise ConfigError(f"--host {host}: expected the address of Kubeflow Pipelines, such as http://localhost:8080")


def _token(file: str) -> str:
    """Returns the bearer token of the environment or of a file; empty where there is none."""
    if token := os.environ.get(TOKEN):
        return token.strip()
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise EngineError(f"deployment.access.token_file {file}: {reason}") from None


def _id(client: Kubeflow, record: dict[str, Any], name: str) -> str:
    """Returns the id of a record.

    Raises:
        EngineError: it has none: Kubeflow Pipelines did not answer.
    """
    number = record.get(name)
    if not isinstance(number, str) or not number:
        raise client.no_kubeflow()
    return number


def _reason(error: requests.RequestException) -> str:
    """Returns why a request failed, one line."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; name the authority's file with deployment.access.ca_file"
    if isinstance(error, requests.Timeout):
        return f"no answer within {SECONDS:g} s"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        arguments = [argument for argument in cause.args if isinstance(argument, BaseException)]
        cause = cause.__cause__ or cause.__context__ or getattr(cause, "reason", None) or next(iter(arguments), None)
    return _first_line(str(error))


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "no reason given")
