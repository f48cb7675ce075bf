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
    """Answers as the API server of Kubeflow Pipelines does, and keeps its records."""

    experiments: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    schedules: list[dict[str, Any]]
    asked: list[dict[str, str]]
    states: list[dict[str, str]]  # of the tasks of a run, one for each time that it is asked for

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        place, query = url.path.removeprefix("/apis/v2beta1/"), parse_qs(url.query)
        self._note()
        if place == "healthz":
            self.answer({"multi_user": False})
        elif place == "experiments":
            name = json.loads(query["filter"][0])["predicates"][0]["stringValue"]
            where = query.get("namespace", [None])[0]
            found = [e for e in self.experiments if e["display_name"] == name and e.get("namespace") == where]
            self.answer({"experiments": found} if found else {})
        elif place == "runs":
            newest = self.runs[::-1][: int(query["page_size"][0])]
            self.answer({"runs": [run for run in newest if run["experiment_id"] == query["experiment_id"][0]]})
        elif place.startswith("runs/"):
            self.answer(self._run(next(run for run in self.runs if run["run_id"] == place.rpartition("/")[2])))
        else:
            self.answer({"recurringRuns": self.schedules, "total_size": len(self.schedules)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        place = self.path.removeprefix("/apis/v2beta1/")
        self._note()
        if place == "experiments":
            self.experiments.append(body | {"experiment_id": f"e{len(self.experiments)}"})
            self.answer(self.experiments[-1])
        elif place == "runs":
            self.runs.append(body | {"run_id": f"r{len(self.runs)}", "state": "PENDING", "created_at": "2026-11-28T03"})
            self.answer(self.runs[-1])
        elif place == "recurringruns":
            self.schedules.append(body | {"recurring_run_id": f"s{len(self.schedules)}", "status": "ENABLED"})
            self.answer(self.schedules[-1])
        else:
            number, _, action = place.rpartition("/")[2].partition(":")
            schedule = next(s for s in self.schedules if s["recurring_run_id"] == number)
            schedule["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[action]
            self.answer({})

    def do_DELETE(self) -> None:
        number = self.path.rpartition("/")[2]
        self.schedules[:] = [s for s in self.schedules if s["recurring_run_id"] != number]
        self._note()
        self.answer({})

    def log_message(self, *unused: object) -> None:
        pass

    def _note(self) -> None:
        self.asked.append({"method": self.command, "path": self.path, **dict(self.headers.items())})

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
    server.experiments, server.runs, server.schedules, server.asked = [], [], [], []
    server.states = [{"run": "RUNNING"}]
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), server)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    listener.server_close()


def test_a_run_on_kubeflow(host, file):
    run = client(host=host).start(submission(file))
    assert (run.id, run.state, run.page) == ("r0", "waiting", f"{host}/#/runs/details/r0")
    assert [experiment["display_name"] for experiment in KubeflowServer.experiments] == ["shop"]
    (sent,) = KubeflowServer.runs
    assert sent["display_name"] == "shop 2026-11-28 01234567" and sent["service_account"] == "runner"
    assert sent["experiment_id"] == "e0" and sent["pipeline_spec"]["pipelineInfo"] == {"name": "shop"}
    assert sent["runtime_config"] == {"parameters": {"encoder": "bow"}, "pipeline_root": "gs://bucket/pipelines"}


def test_runs_of_a_pipeline_share_an_experiment(host, file):
    for _ in range(2):
        client(host=host).start(submission(file))
    assert len(KubeflowServer.experiments) == 1 and len(KubeflowServer.runs) == 2


def test_a_namespace_has_experiments_of_its_own(host, file):
    client(host=host).start(submission(file))
    client(host=host, namespace="ann").start(submission(file))
    assert [experiment.get("namespace") for experiment in KubeflowServer.experiments] == [None, "ann"]


def test_what_kubernetes_alone_knows_goes_with_the_pipeline(host, tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(f"{SPEC}---\n{PLATFORM}\n", encoding="utf-8")
    sent = client(host=host).request(submission(path))
    assert set(sent["pipeline_spec"]) == {"pipeline_spec", "platform_spec"}
    assert sent["pipeline_spec"]["platform_spec"]["platforms"]["kubernetes"]


def test_a_schedule_replaces_the_earlier_one_of_its_pipeline(host, file, console):
    kubeflow_client = client(host=host)
    for hour in (3, 4):
        replace_schedule(kubeflow_client, submission(file, cron=f"0 {hour} * * *"), console)
    (schedule,) = KubeflowServer.schedules
    assert schedule["display_name"] == "shop" and schedule["no_catchup"] is True and schedule["mode"] == "ENABLE"
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 4 * * *"}}
    said = console.export_text()
    assert f"scheduled: 0 4 * * * (the engine's time zone, UTC by default)  {host}/#/recurr" in said
    assert "replaced: 0 3 * * *  s0" in said


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


def test_schedules_of_other_pipelines_are_left_alone(host, file, console):
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


def test_runs_of_other_pipelines_in_a_shared_experiment_are_left_out(host, file):
    kubeflow_client = client(host=host, experiment="shared")
    kubeflow_client.start(submission(file))
    kubeflow_client.start(Submission("films", file, "films 2026-11-28 01234567"))
    assert [run.id for run in kubeflow_client.runs("shop")] == ["r0"]


def test_a_run_is_followed_to_its_end(host, file, console):
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
def test_a_failed_run_ends_with_the_step_and_its_reason(host, file, console, recorded, line):
    KubeflowServer.states = [{"run": "FAILED", "ExampleGen": "FAILED", "SchemaGen": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))

    def outcome_of(run: EngineRun) -> Outcome | None:
        if isinstance(recorded, OSError):
            raise recorded
        return recorded

    assert not follow(kubeflow_client, run, outcome_of, console, poll_seconds=0)
    assert console.export_text().splitlines()[-1].startswith(line.replace("HOST", host))


def test_a_run_that_succeeds_ends_with_its_outcome(host, file, console):
    KubeflowServer.states = [{"run": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))
    pushed = Outcome("pushed", "version 3, gs://bucket/models/shop/3", version="3")
    assert follow(kubeflow_client, run, lambda run: pushed, console, poll_seconds=0)
    assert console.export_text().splitlines()[-1] == "succeeded: version 3, gs://bucket/models/shop/3"


def test_following_survives_a_server_that_restarts(host, file, console, monkeypatch):
    KubeflowServer.states = [{"run": "SUCCEEDED"}]
    kubeflow_client = client(host=host)
    run = kubeflow_client.start(submission(file))
    asked, failing = kubeflow_client.run, iter([True, True, False])

    def sometimes(run_id: str) -> EngineRun:
        if next(failing):
            raise EngineError("cannot be reached")
        return asked(run_id)

    monkeypatch.setattr(kubeflow_client, "run", sometimes)
    assert follow(kubeflow_client, run, no_records, console, poll_seconds=0)
    monkeypatch.setattr(kubeflow_client, "run", lambda run_id: (_ for _ in ()).throw(EngineError("gone")))
    with pytest.raises(EngineError, match="gone"):
        follow(kubeflow_client, run, no_records, console, poll_seconds=0)


def test_submit_and_wait_ends_with_one_line(host, tmp_path, capsys, monkeypatch):
    """The command line, from the compilation to the reason: the step recorded it in the run's folder."""
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
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "failed: ExampleGen: read from s3://bucket/pipelines/shop/r0"
    assert re.fullmatch(rf"started: shop \d{{4}}-\d\d-\d\d \d\d:\d\d \S+  {re.escape(host)}/#/runs/details/r0", said[0])


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
    (asked,) = KubeflowServer.asked
    expected = {"Cookie": "authservice_session=secret"} if source == "cookie" else {"Authorization": "Bearer secret"}
    assert expected.items() <= asked.items()


def test_a_token_file_that_is_missing(host, tmp_path):
    with pytest.raises(EngineError, match=r"deployment\.access\.token_file .*: No such file or directory"):
        client(host=host, access={"token_file": str(tmp_path / "nothing")})


def test_a_context_of_kubectl_leads_through_kubernetes(tmp_path, monkeypatch, host):
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
    (asked,) = KubeflowServer.asked
    assert asked["path"] == "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1/healthz"
    assert asked["Authorization"] == "Bearer secret"
    with pytest.raises(EngineError, match=r"deployment\.access\.kube_context other: "):
        client(access={"kube_context": "other"})


def test_a_proxy_is_asked_where_the_environment_names_one(host, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", host)
    client(host="http://kubeflow.example").check()
    (asked,) = KubeflowServer.asked
    assert (asked["path"], asked["Host"]) == ("http://kubeflow.example/apis/v2beta1/healthz", "kubeflow.example")


def test_within_the_cluster_no_host_is_needed(monkeypatch):
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
    with pytest.raises(EngineError, match=re.escape(f"--host {host} ")) as caught:
        getattr(client(host=host), call)(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_redirect_to_a_login_page_names_it(host, monkeypatch):
    elsewhere = {"Location": "https://dex.example.com/auth"}
    monkeypatch.setattr(KubeflowServer, "answer", lambda self, content: self.send(302, "", "text/html", **elsewhere))
    with pytest.raises(EngineError, match=r"redirects to dex\.example\.com: log in with KUBEFLOW_TOKEN"):
        client(host=host).check()


@pytest.mark.parametrize("call", ["start", "schedule"])
def test_an_answer_without_an_id_is_not_taken_for_a_started_run(host, file, monkeypatch, call):
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
def test_schedules_that_are_none(cron, zone, engine, message):
    with pytest.raises(ConfigError, match=message):
        check_schedule(config(), engine, cron, zone)
    check_schedule(config(), "vertex", NIGHTLY, "Europe/Berlin")


def test_records_of_outcomes_lie_in_the_run_s_folder(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr("cluster.outcomes.read_outcome", asked.append)
    read = operations.outcomes_in(config().deployment, "shop")
    read(EngineRun("r1", "shop", "failed"))
    read(EngineRun("projects/7/locations/r/pipelineJobs/9", "shop", "failed"))
    assert asked == ["gs://bucket/pipelines/shop/r1", "gs://bucket/pipelines/7/9"]
