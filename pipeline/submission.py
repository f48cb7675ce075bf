"""Sends a compiled pipeline to a cluster with the engine's own client. The clients are imported only when they send."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.config import ConfigError, PipelineConfig
from pipeline.deployment import Engine

CONNECT_SECONDS = 5.0


class SubmissionError(Exception):
    """The cluster did not take the pipeline; the message is one line for a person."""


@dataclass(frozen=True)
class Request:
    """What is sent.

    Attributes:
        engine: to which.
        connect: arguments of the client: whom to talk to.
        send: arguments of the call that starts a run.
        cron: when to start one again and again, in the five fields of cron; empty for one run now.
    """

    engine: Engine
    connect: dict[str, Any]
    send: dict[str, Any]
    cron: str = ""


def make_request(
    config: PipelineConfig, engine: Engine, file: Path, parameters: dict[str, Any], cron: str = ""
) -> Request:
    """The request that starts a run, or a schedule of runs.

    Args:
        config: with the deployment.
        engine: which cluster.
        file: the compiled pipeline.
        parameters: runtime parameters that differ from the file's.
        cron: of a schedule.

    Raises:
        ConfigError: it is not known where to send it, or the schedule is none.
    """
    deployment = config.deployment
    if cron and len(cron.split()) != 5:
        raise ConfigError(f"--cron {cron!r}: expected five fields, such as '0 3 * * *' for three o'clock each night")
    if cron and deployment.cache:
        raise ConfigError("--cron with deployment.cache: every run would take the first one's data from the cache")
    if engine == "kubeflow":
        if not _is_address(deployment.host):
            where = f"--host {deployment.host}" if deployment.host else "--host is missing"
            raise ConfigError(f"{where}: expected the address of Kubeflow Pipelines, such as http://localhost:8080")
        return Request(
            engine,
            {"host": deployment.host, **({"namespace": deployment.namespace} if deployment.namespace else {})},
            {
                "pipeline_file": str(file),
                "arguments": parameters,
                "run_name": config.name,
                "experiment_name": deployment.experiment or config.name,
                "namespace": deployment.namespace or None,
                "pipeline_root": deployment.pipeline_root,
                "service_account": deployment.service_account or None,
            },
            cron,
        )
    for option in ("project", "region"):
        if not getattr(deployment, option):
            raise ConfigError(f"--{option} is missing: Vertex AI runs pipelines in a project and a region")
    return Request(
        engine,
        {"project": deployment.project, "location": deployment.region},
        {
            "display_name": config.name,
            "template_path": str(file),
            "pipeline_root": deployment.pipeline_root,
            "parameter_values": parameters,
            "service_account": deployment.service_account or None,
        },
        cron,
    )


def _is_address(host: str) -> bool:
    """Whether a text is the URL of a web server."""
    try:
        parts = urlsplit(host)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port over 65535, or half an IPv6 address.
        return False


def check_connection(request: Request) -> None:
    """Make sure that the cluster can be reached, and for Vertex that there are credentials.

    Raises:
        SubmissionError: it cannot, or there are none.
    """
    if request.engine == "kubeflow":
        address = urlsplit(request.connect["host"])
        host, port = address.hostname or "", address.port or (443 if address.scheme == "https" else 80)
        shown = request.connect["host"]
    else:
        _check_credentials()
        host, port = f"{request.connect['location']}-aiplatform.googleapis.com", 443
        shown = host
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise SubmissionError(f"{shown} cannot be reached: {error.strerror or error}") from None


def send(request: Request) -> str:
    """Start a run or a schedule.

    Returns:
        Where to look at it.

    Raises:
        SubmissionError: the cluster refused, and why.
        ConfigError: what answers at the address is not Kubeflow Pipelines.
    """
    return (_send_to_kubeflow if request.engine == "kubeflow" else _send_to_vertex)(request)


def _send_to_kubeflow(request: Request) -> str:
    import kfp
    import kfp_server_api
    import urllib3

    try:
        client = kfp.Client(**request.connect)
        if request.cron:
            return _schedule_on_kubeflow(client, request)
        run = client.create_run_from_pipeline_package(**request.send)
    except kfp_server_api.ApiException as error:
        raise SubmissionError(f"{request.connect['host']} answers {error.status} {error.reason}") from None
    except (ValueError, TypeError, AttributeError):  # The client takes any answer for the one it expects.
        raise _not_kubeflow(request) from None
    except (TimeoutError, OSError, urllib3.exceptions.HTTPError, RuntimeError) as error:
        raise SubmissionError(f"{request.connect['host']}: {_first_line(error)}") from None
    return _page(request, "runs", run.run_id)


def _schedule_on_kubeflow(client: Any, request: Request) -> str:
    sent = request.send
    experiment = client.create_experiment(sent["experiment_name"], namespace=sent["namespace"])
    if not experiment.experiment_id:
        raise _not_kubeflow(request)
    schedule = client.create_recurring_run(
        experiment_id=experiment.experiment_id,
        job_name=sent["run_name"],
        cron_expression=f"0 {request.cron}",  # Kubeflow's cron begins with seconds.
        no_catchup=True,
        params=sent["arguments"],
        pipeline_package_path=sent["pipeline_file"],
        pipeline_root=sent["pipeline_root"],
        service_account=sent["service_account"],
    )
    return _page(request, "recurringrun", schedule.recurring_run_id)


def _page(request: Request, kind: str, number: Any) -> str:
    """Address of the page of a run or schedule.

    Raises:
        ConfigError: there is no id: what answered is not Kubeflow Pipelines.
    """
    if not isinstance(number, str) or not number:
        raise _not_kubeflow(request)
    return f"{request.connect['host'].rstrip('/')}/#/{kind}/details/{number}"


def _not_kubeflow(request: Request) -> ConfigError:
    return ConfigError(
        f"--host {request.connect['host']}: answers, but not as Kubeflow Pipelines does, and nothing was started; is "
        "it a login page, or another service? `kubectl port-forward` reaches Kubeflow's own"
    )


def _send_to_vertex(request: Request) -> str:
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform

    arguments = dict(request.send)
    service_account = arguments.pop("service_account")
    try:
        job = aiplatform.PipelineJob(**arguments, **request.connect)
        if request.cron:
            name = request.send["display_name"]
            return str(job.create_schedule(request.cron, name, service_account=service_account).resource_name)
        job.submit(service_account=service_account)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise SubmissionError(f"Vertex AI: {_first_line(error)}") from None
    return str(job._dashboard_uri())


def _check_credentials() -> None:
    import google.auth

    try:
        google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except google.auth.exceptions.GoogleAuthError:
        raise SubmissionError(
            "there are no credentials for Google Cloud: run `gcloud auth application-default login`, or let "
            "GOOGLE_APPLICATION_CREDENTIALS name a key file"
        ) from None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
