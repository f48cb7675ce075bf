"""What is sent to Kubeflow, as a server hears it; what is sent to Vertex, as its client is called."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ConfigError, PipelineConfig, load_config
from pipeline.submission import SubmissionError, make_request, send

SPEC = """
pipelineInfo: {name: shop}
schemaVersion: 2.1.0
sdkVersion: kfp-2.16.1
root:
  dag: {tasks: {only: {componentRef: {name: only}, taskInfo: {name: only}}}}
  inputDefinitions: {parameters: {encoder: {parameterType: STRING, defaultValue: cnn, isOptional: true}}}
components: {only: {executorLabel: only}}
deploymentSpec: {executors: {only: {container: {image: i, command: [c]}}}}
"""


class Kubeflow(http.server.BaseHTTPRequestHandler):
    """Answers as Kubeflow Pipelines does, and keeps what is sent."""

    sent: dict[str, Any]
    refuses = False

    def do_GET(self) -> None:
        if self.path.startswith("/apis/v2beta1/healthz"):
            self._answer({"multi_user": False})
        else:
            self._answer({"experiments": []})

    def do_POST(self) -> None:
        what = self.path.partition("?")[0].rpartition("/")[2]
        type(self).sent[what] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.refuses:
            self.send_error(403, "Forbidden")
        else:
            self._answer({"experiment_id": "e1", "run_id": "r1", "recurring_run_id": "s1"})

    def log_message(self, *unused: object) -> None:
        pass

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HOME", str(tmp_path))  # The client keeps its settings there.
    Kubeflow.sent, Kubeflow.refuses = {}, False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubeflow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return path


def config(**deployment: str) -> PipelineConfig:
    places = {"pipeline_root": "gs://bucket/pipelines", "service_account": "runner", **deployment}
    return load_config(None, {"name": "shop", **{f"deployment.{key}": value for key, value in places.items()}})


def test_a_run_on_kubeflow(host, file):
    request = make_request(config(host=host), "kubeflow", file, {"encoder": "bow"})
    assert send(request) == f"{host}/#/runs/details/r1"
    run = Kubeflow.sent["runs"]
    assert Kubeflow.sent["experiments"]["display_name"] == "shop"
    assert run["display_name"] == "shop" and run["service_account"] == "runner"
    assert run["runtime_config"] == {"parameters": {"encoder": "bow"}, "pipeline_root": "gs://bucket/pipelines"}
    assert "only" in json.dumps(run["pipeline_spec"])


def test_a_schedule_on_kubeflow(host, file):
    request = make_request(config(host=host), "kubeflow", file, {}, "0 3 * * *")
    assert send(request) == f"{host}/#/recurringrun/details/s1"
    schedule = Kubeflow.sent["recurringruns"]
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert schedule["no_catchup"] is True


def test_refusal_is_told_in_one_line(host, file):
    Kubeflow.refuses = True
    with pytest.raises(SubmissionError) as caught:
        send(make_request(config(host=host), "kubeflow", file, {}))
    assert str(caught.value) == f"{host} answers 403 Forbidden"


@pytest.mark.parametrize("cron", ["", "0 3 * * *"])
def test_vertex_is_asked_for_a_run_or_a_schedule(file, monkeypatch, cron):
    import google.cloud

    called: dict[str, Any] = {}

    class Schedule:
        resource_name = "projects/p/locations/r/schedules/1"

    class Job:
        def __init__(self, **arguments: Any):
            called["job"] = arguments

        def submit(self, **arguments: Any) -> None:
            called["submit"] = arguments

        def create_schedule(self, *arguments: Any, **more: Any) -> Schedule:
            called["schedule"] = (*arguments, more)
            return Schedule()

        def _dashboard_uri(self) -> str:
            return "https://console.cloud.google.com/run"

    # The client takes seconds to import; test_compilation.py gives the real one a file.
    client = types.SimpleNamespace(PipelineJob=Job)
    monkeypatch.setitem(sys.modules, "google.cloud.aiplatform", client)
    monkeypatch.setattr(google.cloud, "aiplatform", client, raising=False)
    request = make_request(config(project="p", region="r"), "vertex", file, {"encoder": "bow"}, cron)
    told = send(request)
    assert called["job"] == {
        "display_name": "shop",
        "template_path": str(file),
        "pipeline_root": "gs://bucket/pipelines",
        "parameter_values": {"encoder": "bow"},
        "project": "p",
        "location": "r",
    }
    if cron:
        assert told == Schedule.resource_name
        assert called["schedule"] == (cron, "shop", {"service_account": "runner"})
    else:
        assert told.startswith("https://") and called["submit"] == {"service_account": "runner"}


class LoginPage(Kubeflow):
    """Answers everything with a page to log in, as a proxy does that guards Kubeflow."""

    def _answer(self, content: dict[str, Any]) -> None:
        body = b"<!doctype html><title>Log in</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("cron", ["", "0 3 * * *"])
def test_a_login_page_is_not_taken_for_a_started_run(host, file, monkeypatch, cron):
    monkeypatch.setattr(Kubeflow, "_answer", LoginPage._answer)
    with pytest.raises(ConfigError) as caught:
        send(make_request(config(host=host), "kubeflow", file, {}, cron))
    assert str(caught.value).startswith(f"--host {host}: answers, but not as Kubeflow Pipelines does, and nothing was")


@pytest.mark.parametrize("cron", ["", "0 3 * * *"])
def test_an_answer_without_an_id_is_not_taken_for_a_started_run(host, file, monkeypatch, cron):
    answer = Kubeflow._answer
    only_experiment = {"experiment_id": "e1", "experiments": []}
    monkeypatch.setattr(Kubeflow, "_answer", lambda self, content: answer(self, only_experiment))
    with pytest.raises(ConfigError, match="nothing was started"):
        send(make_request(config(host=host), "kubeflow", file, {}, cron))
