"""The client of Kubeflow Pipelines: its requests, and how it reads the responses."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cluster import kubeflow_api, operations
from cluster.engines import EngineError, EngineRun, Submission, check_schedule
from cluster.operations import change_schedules, follow, replace_schedule, show_runs, show_schedules
from cluster.outcomes import Outcome
from pipeline.config import ConfigError
from tests.cluster.deployments import NIGHTLY, PLATFORM, SPEC, client, config, no_records, submission


class KubeflowServer(http.server.BaseHTTPRequestHandler):
    """Imitates the API server of Kubeflow Pipelines, and keeps its records."""

    experiments: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    requests: list[dict[str, str]]
    states: list[dict[str, str]]  # of the tasks of a run, one for each request

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        resource, query = url.path.removeprefix("/apis/v2beta1/"), parse_qs(url.query)
        self._record_request()
        if resource == "healthz":
            self.answer({"multi_user": False})
        elif resource == "experiments":
            name = json.loads(query["filter"][0])["predicates"][0]["stringValue"]
            namespace = query.get("namespace", [None])[0]
            experiments = [e for e in self.experiments if e["display_name"] == name and e.get("namespace") == namespace]
            self.answer({"experiments": experiments} if experiments else {})
        elif resource == "runs":
            newest = self.runs[::-1][: int(query["page_size"][0])]
            self.answer({"runs": [run for run in newest if run["experiment_id"] == query["experiment_id"][0]]})
        elif resource.startswith("runs/"):
            self.answer(self._run(next(run for run in self.runs if run["run_id"] == resource.rpartition("/")[2])))
        else:
            self.answer({"recurringRuns": self.schedules, "total_size": len(self.schedules)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        resource = self.path.removeprefix("/apis/v2beta1/")
        self._record_request()
        if resource == "experiments":
            self.experiments.append(body | {"experiment_id": f"e{len(self.experiments)}"})
            self.answer(self.experiments[-1])
        elif resource == "runs":
            self.runs.append(body | {"run_id": f"r{len(self.runs)}", "state": "PENDING", "created_at": "2026-11-28T03"})
            self.answer(self.runs[-1])
        elif resource == "recurringruns":
            self.schedules.append(body | {"recurring_run_id": f"s{len(self.schedules)}", "status": "ENABLED"})
            self.answer(self.schedules[-1])
        else:
            number, _, action = resource.rpartition("/")[2].partition(":")
            schedule = next(s for s in self.schedules if s["recurring_run_id"] == number)
            schedule["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[action]
            self.answer({})

    def do_DELETE(self) -> None:
        number = self.path.rpartition("/")[2]
        self.schedules[:] = [s for s in self.schedules if s["recurring_run_id"] != number]
        self._record_request()
        self.answer({})

    def log_message(self, *unused: object) -> None:
        pass

    def _record_request(self) -> None:
        self.requests.append({"method": self.command, "path": self.path, **dict(self.headers.items())})

    def _run(self, run: dict[str, Any]) -> dict[str, Any]:
        tasks = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        details = [{"display_name": name, "state": state} for name, state in tasks.items() if name != "run"]
        return run | {"state": tasks["run"], "run_details": {"task_details": details}}

    def answer(self, content: dict[str, Any]) -> None:
        self.send(200, json.dumps(content), "application/json")

    def send(self, status: int, body: str, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in (kubeflow_api.TOKEN, kubeflow_api.COOKIE):
        monkeypatch.delenv(name, raising=False)
    server = KubeflowServer
    server.experiments, server.runs, server.schedules, server.requests = [], [], [], []
    server.states = [{"run": "RUNNING"}]
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), server)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    listener.server_close()


def test_start_submits_a_run_to_kubeflow(host, file):
    run = client(host=host).start(submission(file))
    assert (run.id, run.state, run.page) == ("r0", "waiting", f"{host}/#/runs/details/r0")
    assert [experiment["display_name"] for experiment in KubeflowServer.experiments] == ["shop"]
    (request,) = KubeflowServer.runs
    assert request["display_name"] == "shop 2026-11-28 01234567" and request["service_account"] == "runner"
    assert request["experiment_id"] == "e0" and request["pipeline_spec"]["pipelineInfo"] == {"name": "shop"}
    assert request["runtime_config"] == {"parameters": {"encoder": "bow"}, "pipeline_root": "gs://bucket/pipelines"}


def test_runs_of_a_pipeline_share_an_experiment(host, file):
    for _ in range(2):
        client(host=host).start(submission(file))
    assert len(KubeflowServer.experiments) == 1 and len(KubeflowServer.runs) == 2


def test_each_namespace_has_its_own_experiments(host, file):
    client(host=host).start(submission(file))
    client(host=host, namespace="ann").start(submission(file))
    assert [experiment.get("namespace") for experiment in KubeflowServer.experiments] == [None, "ann"]


def test_kubernetes_settings_are_submitted_with_the_pipeline(host, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(f"{SPEC}---\n{PLATFORM}\n", encoding="utf-8")
    request = client(host=host).request(submission(path))
    assert set(request["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}
    assert request["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]


def test_a_schedule_replaces_the_earlier_schedule_of_its_pipeline(host, file, console):
    kubeflow_client = client(host=host)
    for hour in (3, 4):
        replace_schedule(kubeflow_client, submission(file, cron=f"0 {hour} * * *"), console)
    (schedule,) = KubeflowServer.schedules
    assert schedule["display_name"] == "shop" and schedule["no_catchup"] is True and schedule["mode"] == "ENABLE"
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * *"}}
    output = console.export_text()
    assert f"scheduled: 0 4 * * * (the engine's time zone, UTC by default)  {host}/#/recurr" in output
    assert "replaced: 0 3 * * *  s0" in output


def test_schedules_are_listed_paused_resumed_and_deleted(host, file, console):
    kubeflow_client = client(host=host)
    replace_schedule(kubeflow_client, submission(file, cron=NIGHTLY), console)
    for change, shown in (("pause", "paused"), ("resume", "active")):
        change_schedules(kubeflow_client, "shop", change, console)
        show_schedules(kubeflow_client, "shop", console)
        assert f"{NIGHTLY}  {shown}  s0" in console.export_text()
    change_schedules(kubeflow_client, "shop", "delete", console)
    show_schedules(kubeflow_client, "shop", console)
    assert "no schedules of shop" in console.export_text()
    with pytest.raises(ConfigError, match="pause: shop has no schedules"):
        change_schedules(kubeflow_client, "shop", "pause", console)


def test_schedules_of_other_pipelines_do_not_change(host, file, console):
    kubeflow_client = client(host=host, experiment="shared")
    replace_schedule(kubeflow_client, submission(file, cron=NIGHTLY), console)
    KubeflowServer.schedules[0]["display_name"] = "other"
    replace_schedule(kubeflow_client, submission(file, cron=NIGHTLY), console)
    assert [schedule["display_name"] for schedule in KubeflowServer.schedules] == ["other", "shop"]


def test_runs_are_listed_newest_first(host, file, console):
    kubeflow_client = client(host=host)
    show_runs(kubeflow_client, "shop", console)
    for _ in range(2):
        kubeflow_client.start(submission(file))
    show_runs(kubeflow_client, "shop", console)
    lines = console.export_text().splitlines()
    assert lines[0].strip() == "no runs of shop"
    assert [line.split()[-1] for line in lines[2:]] == ["r1", "r0"]


def test_runs_of_other_pipelines_in_a_shared_experiment_are_excluded(host, file):
    kubeflow_client = client(host=host, experiment="shared")
    kubeflow_client.start(submission(file))
    kubeflow_client.start(Submission("films", file, "films 2026-11-28 01234567"))
    assert [run.id for run in kubeflow_client.runs("shop")] == ["r0"]


def test_follow_shows_the_steps_until_the_run_ends(host, file, console):
    KubeflowServer.states = [
        {"run": "PENDING"},
        {"run": "RUNNING", "ExampleGen": "RUNNING", "executor": "RUNNING"},
        {"run": "RUNNING", "ExampleGen": "SUCCEEDED", "Trainer": "RUNNING"},
        {"run": "SUCCEEDED", "ExampleGen": "SUCCEEDED", "Trainer": "SKIPPED"},
    ]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))
    assert follow(kubeflow_client, run, no_records, console, poll_seconds=0)
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert [re.sub(" +", " ", line) for line in lines] == [
        "✓ ExampleGen succeeded",
        "✓ Trainer succeeded",
        f"succeeded: {host}/#/runs/details/r0",
    ]


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        (
            Outcome("failed", "ExampleGen: log.csv:7: no number", "ExampleGen"),
            "failed: ExampleGen: log.csv:7: no number",
        ),
        (None, "failed: ExampleGen: the log of the step's pod has the reason; see HOST/#/runs/details/r0"),
        (
            OSError("no way"),
            "failed: ExampleGen: the log of the step's pod has the reason (no way); see HOST/#/runs",
        ),
    ],
)
def test_follow_ends_with_the_failed_step_and_its_reason(host, file, console, recorded, line):
    KubeflowServer.states = [{"run": "FAILED", "ExampleGen": "FAILED", "SchemaGen": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))

    def read_outcome(run: EngineRun) -> Outcome | None:
        if isinstance(recorded, OSError):
            raise recorded
        return recorded

    assert not follow(kubeflow_client, run, read_outcome, console, poll_seconds=0)
    assert console.export_text().splitlines()[-1].startswith(line.replace("HOST", host))


def test_follow_ends_with_the_outcome_of_a_successful_run(host, file, console):
    KubeflowServer.states = [{"run": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))
    pushed = Outcome("pushed", "version 3, gs://bucket/models/shop/3", version="3")
    assert follow(kubeflow_client, run, lambda run: pushed, console, poll_seconds=0)
    assert console.export_text().splitlines()[-1] == "succeeded: version 3, gs://bucket/models/shop/3"


def test_follow_continues_after_a_restart_of_the_server(host, file, console, monkeypatch):
    KubeflowServer.states = [{"run": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))
    get_run, failures = kubeflow_client.run, iter([True, True, False])

    def fail_twice(run_id: str) -> EngineRun:
        if next(failures):
            raise EngineError("cannot be reached")
        return get_run(run_id)

    monkeypatch.setattr(kubeflow_client, "run", fail_twice)
    assert follow(kubeflow_client, run, no_records, console, poll_seconds=0)
    monkeypatch.setattr(kubeflow_client, "run", lambda run_id: (_ for _ in ()).throw(EngineError("gone")))
    with pytest.raises(EngineError, match="gone"):
        follow(kubeflow_client, run, no_records, console, poll_seconds=0)


def test_submit_and_wait_ends_with_one_line(host, tmp_path, capsys, monkeypatch):
    """Tests the command line from the compilation to the reason, which the step recorded in the folder of the run."""
    import kubeflow_runner

    KubeflowServer.states = [{"run": "RUNNING"}, {"run": "FAILED", "ExampleGen": "FAILED"}]
    monkeypatch.setattr(operations, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("cluster.compilation.compile_pipeline", lambda config, engine: SPEC)
    monkeypatch.setattr(
        "cluster.outcomes.read_outcome",
        lambda folder: Outcome("failed", f"ExampleGen: read from {folder}", "ExampleGen"),
    )
    monkeypatch.chdir(tmp_path)
    options = ["--engine", "kubeflow", "--name", "shop", "--image", "registry/shop:1", "--host", host]
    options += ["--pipeline-root", "s3://bucket/pipelines", "--data", "s3://bucket/log.csv", "--submit", "--wait"]
    monkeypatch.setattr(follow, "__defaults__", (0.01,))
    assert kubeflow_runner.main(options) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "failed: ExampleGen: read from s3://bucket/pipelines/shop/r0"
    assert re.fullmatch(
        rf"started: shop \d{{4}}-\d\d-\d\d \d\d:\d\d \S+  {re.escape(host)}/#/runs/details/r0", lines[0]
    )


@pytest.mark.parametrize("source", ["environment", "file", "cookie"])
def test_credentials_come_from_the_environment_or_a_file(host, tmp_path, monkeypatch, source):
    access: dict[str, str] = {}
    if source == "environment":
        monkeypatch.setenv(kubeflow_api.TOKEN, "secret")
    elif source == "cookie":
        monkeypatch.setenv(kubeflow_api.COOKIE, "authservice_session=secret")
    else:
        (tmp_path / "token").write_text("secret\n", encoding="utf-8")
        access = {"token_file": str(tmp_path / "token")}
    client(host=host, access=access).check()
    (request,) = KubeflowServer.requests
    expected = {"Cookie": "authservice_session=secret"} if source == "cookie" else {"Authorization": "Bearer secret"}
    assert expected.items() <= request.items()


def test_a_missing_token_file_is_an_error(host, tmp_path):
    with pytest.raises(EngineError, match=r"deployment\.access\.token_file .*: No such file or directory"):
        client(host=host, access={"token_file": str(tmp_path / "nothing")})


def test_a_kubectl_context_sends_requests_through_kubernetes(tmp_path, monkeypatch, host):
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": host}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "team", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps(kubeconfig), encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    client(access={"kube_context": "team"}).check()
    (request,) = KubeflowServer.requests
    assert request["path"] == "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1/healthz"
    assert request["Authorization"] == "Bearer secret"
    with pytest.raises(EngineError, match=r"deployment\.access\.kube_context other: "):
        client(access={"kube_context": "other"})


def test_requests_use_the_proxy_of_the_environment(host, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", host)
    client(host="http://kubeflow.example").check()
    (request,) = KubeflowServer.requests
    assert (request["path"], request["Host"]) == ("http://kubeflow.example/apis/v2beta1/healthz", "kubeflow.example")


def test_no_host_is_needed_inside_the_cluster(monkeypatch):
    with pytest.raises(ConfigError, match="--host is missing"):
        client()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert client()._api.address == kubeflow_api.IN_CLUSTER


REFUSALS = {
    "login page": (
        (200, "<!doctype html><title>Log in</title>", "text/html"),
        "but not as Kubeflow Pipelines",
    ),
    "another service": ((200, "[]", "application/json"), "but not as Kubeflow Pipelines"),
    "no rights": ((403, "", "text/plain"), "returns 403 Forbidden: log in with KUBEFLOW_TOKEN, KUBEFLOW_COOKIE or"),
    "no rights here": (
        (403, '{"message": "ann may not run in bob"}', "application/json"),
        ": ann may not run in bob: log",
    ),
    "error": ((400, '{"message": "Invalid input: spec\\nmore"}', "application/json"), "returns 400 Bad Request: Inva"),
}


@pytest.mark.parametrize("kind", list(REFUSALS))
@pytest.mark.parametrize("call", ["check", "start", "schedule"])
def test_refusals_are_reported_in_one_line(host, file, monkeypatch, kind, call):
    answer, message = REFUSALS[kind]
    monkeypatch.setattr(KubeflowServer, "answer", lambda self, content: self.send(*answer))
    arguments = {"check": [], "start": [submission(file)], "schedule": [submission(file, cron=NIGHTLY)]}[call]
    with pytest.raises(EngineError, match=re.escape(f"--host {host} ")) as raised:
        getattr(client(host=host), call)(*arguments)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_the_error_for_a_redirect_names_the_login_page(host, monkeypatch):
    headers = {"Location": "https://dex.example.com/auth"}
    monkeypatch.setattr(KubeflowServer, "answer", lambda self, content: self.send(302, "", "text/html", **headers))
    with pytest.raises(EngineError, match=r"redirects to dex\.example\.com: log in with KUBEFLOW_TOKEN"):
        client(host=host).check()


@pytest.mark.parametrize("call", ["start", "schedule"])
def test_a_response_without_an_id_is_an_error(host, file, monkeypatch, call):
    answer = KubeflowServer.answer
    only_experiment = {"experiments": [{"experiment_id": "e1"}]}
    monkeypatch.setattr(KubeflowServer, "answer", lambda self, content: answer(self, only_experiment))
    with pytest.raises(EngineError, match="nothing was started"):
        getattr(client(host=host), call)(submission(file, cron=NIGHTLY))


@pytest.mark.parametrize(
    ("cron", "zone", "engine", "message"),
    [
        ("daily", "", "kubeflow", "expected five fields"),
        ("TZ=Europe/Berlin 0 3 * * *", "", "vertex", "set the time zone with --time-zone"),
        (NIGHTLY, "Europe/Berlin", "kubeflow", "one time zone for all schedules of an installation"),
        (NIGHTLY, "Berlin", "vertex", "no such time zone"),
        ("", "Europe/Berlin", "vertex", "requires --cron"),
    ],
)
def test_an_invalid_schedule_is_an_error(cron, zone, engine, message):
    with pytest.raises(ConfigError, match=message):
        check_schedule(config(), engine, cron, zone)
    check_schedule(config(), "vertex", NIGHTLY, "Europe/Berlin")


def test_outcomes_are_read_from_the_folder_of_the_run(monkeypatch):
    folders: list[str] = []
    monkeypatch.setattr("cluster.outcomes.read_outcome", folders.append)
    read = operations.outcomes_in(config().deployment, "shop")
    read(EngineRun("r1", "shop", "failed"))
    read(EngineRun("projects/7/locations/r/pipelineJobs/9", "shop", "failed"))
    assert folders == ["gs://bucket/pipelines/shop/r1", "gs://bucket/pipelines/7/9"]
