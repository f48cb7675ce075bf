"""A mistake on the command line gives one line and exit code 2 within three CPU seconds, and writes no files."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.config import ConfigError, load_config, read_assignments
from tests.forked import run_forked
from tests.timed import LIMIT, run_timed

ROOT = Path(__file__).parents[2]

LOCAL = [
    (["--encodr", "cnn"], "unrecognized arguments: --encodr"),
    (["--encoder", "gru"], "trainer.encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'"),
    (["--history-length", "0"], "transform.history_length: input should be greater than or equal to 1, not 0"),
    (["--history-length", "ten"], "invalid int value: 'ten'"),
    (["--set", "trainer.dropuot=0.1"], "trainer.dropuot: unknown key; did you mean 'dropout'?"),
    (["--set", "dropout"], "expected KEY=VALUE"),
    (["--config", "none.yaml"], "none.yaml: no such configuration file"),
    (["--data", "nowhere.zip"], "nowhere.zip: no such file or folder"),
    (["--data", "ftp://host/log.csv"], "ftp://host/log.csv: cannot be reached"),
    (["--serving-dir", "gs://bucket/models"], "gs://bucket/models: not a local folder; mount the remote folder"),
    (["--from-node", "Trainr"], "--from-node Trainr: no such step"),
    (["--from-node", "Pusher", "--to-node", "Trainer"], "comes after"),
    (["--to-node", "Tuner"], "--to-node Tuner: the step is not enabled; add --set tuner.enabled=true"),
    (["--to-node", "Teacher"], "the step is not enabled; add a section teacher, as in configs/distilled.yaml"),
    (
        ["--set", "tuner.search_space={learning_rat: [0.1]}"],
        "tuner.search_space.learning_rat: unknown key; did you mean 'learning_rate'?",
    ),
    (["--beam", "spark"], "beam.runner: input should be 'local', 'flink' or 'dataflow', not 'spark'"),
    (["--beam", "flink", "--set", "beam.flink.job_endpoint=127.0.0.1:9"], "127.0.0.1:9: Beam's job server cannot be"),
    (["--beam", "dataflow"], "beam.dataflow.project is missing"),
    (["--output", "/proc/none"], "cannot be written to"),
    (["--serving-dir", "/proc/none"], "cannot be written to"),
    (["--json", "/proc/none/summary.json"], "cannot be written to"),
    (["--set", "trainer.members=["], "--set 'trainer.members=[': the value is not YAML: expected the node content"),
    (["--set", 'name="shop'], "the value is not YAML: found unexpected end of stream"),
    (["--set", "name=@shop"], "not '@shop'"),
    (["--set", "name=*shop"], "not '*shop'"),
    (["--output", "my [old] run"], "Beam and TensorFlow read [ in a folder of artifacts as a pattern; choose another"),
    (["--data", "/dev/null"], "/dev/null: a pipe or a device, which can be read only once; save the data to a file"),
    (["--data", "a" * 5000], "File name too long"),
    (["--data", b"ratings-\xff.csv"], "set PYTHONUTF8=1"),
    (["--output", "two\nlines"], "control character"),
    (["--serving-dir", ""], "argument --serving-dir: the path is empty"),
]


@pytest.mark.parametrize(
    ("options", "message"), LOCAL, ids=lambda value: ascii(value)[:60] if isinstance(value, list) else ""
)
def test_local_runner_reports_a_mistake_in_one_line(tmp_path, options, message):
    data = ["--data", str(ROOT / "data" / "sample")] if "--data" not in options else []
    process, seconds = run_timed("local_runner.py", tmp_path, *data, *options)
    assert process.returncode == 2
    assert message in process.stderr.strip().splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert seconds < LIMIT
    assert not list(tmp_path.rglob("*.db"))


def test_a_zip_that_is_damaged_after_its_first_rows_is_an_error(tmp_path):
    """The first rows of the zip are intact, so only unpacking finds the damage."""
    archive = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("ratings.dat", "movies.dat"):
            target.write(ROOT / "data" / "sample" / name, f"ml-1m/{name}")
    content = bytearray(archive.read_bytes())
    content[40_000:40_050] = bytes(50)
    archive.write_bytes(content)
    process, seconds = run_timed(
        "local_runner.py", tmp_path, "--data", str(archive), "--cache-dir", str(tmp_path / "cache")
    )
    assert process.returncode == 2
    assert seconds < LIMIT
    assert "corrupt zip" in process.stderr.strip().splitlines()[-1]
    assert "Traceback" not in process.stdout + process.stderr
    assert list((tmp_path / "cache").iterdir()) == []


CLUSTER = ["--image", "registry/i:1", "--pipeline-root", "gs://bucket/r", "--data", "gs://bucket/d.zip"]
KUBEFLOW, VERTEX = (["--engine", engine, *CLUSTER] for engine in ("kubeflow", "vertex"))
NOBODY = "http://127.0.0.1:9"  # the discard port, where nothing listens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "airflow", *CLUSTER], "invalid choice: 'airflow'"),
        (["--engine", "vertex", *CLUSTER[2:]], "--image is missing"),
        ([*VERTEX, "--image", "no image"], "--image no image: not the name of a container image"),
        ([*VERTEX, "--output", "p.yaml"], "a file for vertex ends in .json"),
        ([*VERTEX, "--pipeline-root", "here"], "--pipeline-root here: expected a URI"),
        ([*KUBEFLOW, "--pipeline-root", "gs:/bucket"], "--pipeline-root gs:/bucket: expected a URI"),
        ([*VERTEX, "--pipeline-root", "s3://bucket/r"], "s3://bucket/r: Vertex AI stores artifacts only in gs://"),
        ([*KUBEFLOW, "--pipeline-root", "s3:bucket"], "--pipeline-root s3:bucket: expected a URI"),
        (
            [*KUBEFLOW, "--pipeline-root", "s3://bucket/r", "--set", "deployment.beam=[--runner=FlinkRunner]"],
            "deployment.beam with --pipeline-root s3://bucket/r: workers on other machines cannot read",
        ),
        (
            [*KUBEFLOW, "--pipeline-root", "minio://bucket/r"],
            "minio://bucket/r: the steps need the address",
        ),
        (
            [*VERTEX, "--set", "deployment.secret_env={KEY: {secret: minio, key: accesskey}}"],
            "deployment.secret_env: Vertex AI has no Kubernetes secrets",
        ),
        (
            [
                *KUBEFLOW,
                "--set",
                "deployment.secret_env={KEY: {secret: minio, key: k}}",
                "--set",
                "deployment.env.KEY=v",
            ],
            "deployment.secret_env.KEY: is also in deployment.env",
        ),
        ([*KUBEFLOW, "--set", "deployment.secret_env={KEY: minio}"], "deployment.secret_env.KEY: "),
        ([*KUBEFLOW, "--set", "deployment.secret_env={KEY: {secret: minio}}"], "secret_env.KEY.key: field required"),
        ([*KUBEFLOW, "--data", "ml-1m.zip"], "--data ml-1m.zip: expected a URI"),
        *(
            ([*KUBEFLOW, "--submit", "--host", host], f"--host {host}: expected the URL of Kubeflow Pipelines")
            for host in ("http://kfp:99999", "http://[::1", "http://", "kfp:8080")
        ),
        ([*VERTEX, "--dry-run", "--name", "2shop"], "name 2shop: a job of Vertex AI starts with a letter"),
        (
            [*VERTEX, "--pipeline-root", "gs://bucket/[a]"],
            "must not contain *, ?, [ or \\, which the steps",
        ),
        ([*KUBEFLOW, "--name", "my_shop"], "a cluster does not accept '_', use '-'"),
        (
            [*KUBEFLOW, "--set", "deployment.resources.Evaluator.gpu=1"],
            "no GPU for Evaluator: only Trainer, Tuner and Refit can use one",
        ),
        (
            [*KUBEFLOW, "--set", "deployment.resources.Trainer={gpu: 1, gpu_type: NVIDIA_L4}"],
            "Kubeflow uses Kubernetes' names of GPUs, such as nvidia.com/gpu",
        ),
        ([*VERTEX, "--set", "deployment.resources.Trainer.gpu=1"], "gpu_type is missing: Vertex AI has"),
        (
            [*KUBEFLOW, "--set", "deployment.resources={default: {gpu_type: T4}, Trainer: {gpu_type: T4}}"],
            "default.gpu_type T4: no GPU; set gpu, the number of GPUs, or remove it",
        ),
        (
            [*VERTEX, "--set", "deployment.resources.Trainer={gpu: 3, gpu_type: NVIDIA_L4}"],
            "Trainer.gpu 3: Vertex AI attaches 1, 2, 4, 8 GPUs",
        ),
        ([*VERTEX, "--set", "deployment.resources.Trainer.memory=8gigs"], "a number and a unit, such as 8Gi or 500M"),
        ([*VERTEX, "--set", "deployment.resources.Trainr.cpu=8"], "unknown step Trainr"),
        (
            [*VERTEX, "--set", "deployment.resources.default.pull_secrets=[registry]"],
            "deployment.resources.default.pull_secrets: only for Kubeflow, not for Vertex AI",
        ),
        ([*KUBEFLOW, "--set", "deployment.network=n"], "deployment.network: only for Vertex AI, not for Kubeflow"),
        (
            [*KUBEFLOW, "--set", "deployment.resources.Trainer={memory: 1Gi, memory_request: 2Gi}"],
            "deployment.resources.Trainer.memory_request 2Gi: greater than memory, which is 1Gi",
        ),
        ([*KUBEFLOW, "--set", "deployment.resources.Trainer.priority=high"], "deployment.resources.Trainer.priority"),
        (
            [*KUBEFLOW, "--set", "deployment.notify=true"],
            "deployment.notify: no webhook; set its URL as",
        ),
        ([*KUBEFLOW, "--wait"], "--wait requires --submit"),
        ([*KUBEFLOW, "runs", "r1"], "runs r1: only `wait` takes a run"),
        (["runs", "--engine", "kubeflow"], "--host is missing: expected the URL of Kubeflow Pipelines"),
        ([*VERTEX, "--set", "deployment.beam=[runner]"], "deployment.beam.0: string should match pattern"),
        ([*VERTEX, "--set", "deployment.env={AWS-REGION: x}"], "deployment.env.AWS-REGION"),
        ([*VERTEX, "--set", "deployment.labels={Team: Ads}"], "deployment.labels.Team"),
        ([*KUBEFLOW, "--set", "beam.runner=flink"], "beam.runner flink: only for local_runner.py"),
        ([*KUBEFLOW, "--param", "encoder=cnn"], "--param requires --submit"),
        ([*KUBEFLOW, "--submit"], "--host is missing: expected the URL of Kubeflow Pipelines"),
        ([*KUBEFLOW, "--submit", "--host", NOBODY, "--param", "encoder=gru"], "--param encoder=gru: Input should be"),
        (
            [
                *(*KUBEFLOW, "--set", "trainer={dimension: 33, encoder: cnn, members: []}"),
                *("--submit", "--host", NOBODY, "--param", "encoder=transformer"),
            ],
            "--param encoder=transformer: trainer.dimension 33 is not divisible by 2 heads",
        ),
        ([*KUBEFLOW, "--submit", "--host", NOBODY, "--param", "epochs=3"], "the names are data, encoder"),
        ([*VERTEX, "--submit", "--project", "p"], "--region is missing"),
        ([*KUBEFLOW, "--dry-run", "--host", NOBODY, "--cron", "daily"], "--cron 'daily': expected five fields"),
        ([*KUBEFLOW, "--dry-run", "--host", NOBODY, "--cron", "0 3 * * *", "--cache"], "--cron with deployment.cache"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_kubeflow_runner_reports_a_mistake_in_one_line(tmp_path, options, message):
    process, seconds = run_timed("kubeflow_runner.py", tmp_path, *options)
    assert process.returncode == 2
    assert message in process.stderr.strip().splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert seconds < LIMIT
    assert not list(tmp_path.iterdir())


def test_an_unreachable_kubeflow_is_an_error(tmp_path):
    process = run_forked("kubeflow_runner", [*KUBEFLOW, "--submit", "--host", NOBODY], tmp_path)
    assert process.returncode == 1
    assert process.stderr.strip() == f"error: --host {NOBODY} cannot be reached: Connection refused"


def test_vertex_without_credentials_is_an_error(tmp_path, monkeypatch):
    for name, value in (("HOME", str(tmp_path)), ("NO_GCE_CHECK", "true"), ("CLOUDSDK_CONFIG", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    location = ["--project", "p", "--region", "europe-west4"]
    process = run_forked("kubeflow_runner", [*VERTEX, "--submit", *location], tmp_path)
    assert process.returncode == 1
    (line,) = process.stderr.strip().splitlines()
    assert line.startswith("error: there are no credentials for Google Cloud: run `gcloud auth")


@pytest.mark.parametrize("program", ["local_runner.py", "kubeflow_runner.py"])
def test_help_is_fast(tmp_path, program):
    process, seconds = run_timed(program, tmp_path, "--help")
    assert process.returncode == 0 and "--config" in process.stdout
    assert seconds < LIMIT


NO_HOME = """
import pwd, runpy, sys

def missing(number):
    raise KeyError(number)

pwd.getpwuid = missing
sys.path.insert(0, sys.argv.pop(1))
module = sys.argv[1]
sys.argv[:] = sys.argv[1:]
runpy.run_path(module, run_name="__main__") if module.endswith(".py") else runpy.run_module(module, run_name="__main__")
"""
COMMAND_LINES = [
    *(str(ROOT / "local_runner.py"), str(ROOT / "kubeflow_runner.py")),
    *("on_device", "lineage", "components.pusher", "data", "pipeline.flink_jar"),
]


@pytest.mark.parametrize("module", COMMAND_LINES)
def test_help_needs_no_home_folder(tmp_path, module):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    for columns in ("80", "1"):
        process = subprocess.run(
            [sys.executable, "-c", NO_HOME, str(ROOT), module, "--help"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, "COLUMNS": columns},
        )
        assert process.returncode == 0 and process.stdout.startswith("usage:"), process.stderr


def test_a_home_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/none")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    process, _ = run_timed("local_runner.py", tmp_path, "--data", "ml-1m")
    assert process.returncode == 2
    (line,) = process.stderr.strip().splitlines()
    assert line.startswith("error: /proc/none/.cache/on-device-recommender: the cache folder cannot be written")


def test_data_from_a_pipe_is_refused_at_once(tmp_path):
    """`--data <(zcat log.csv.gz)` names a pipe; a check of the first rows would consume them."""
    command = f"{sys.executable} {ROOT / 'local_runner.py'} --data <(cat {ROOT / 'data' / 'sample' / 'ratings.dat'})"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert process.returncode == 2
    (line,) = process.stderr.strip().splitlines()
    assert "a pipe or a device" in line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("@shop", "%x", "*x", "&x", "!x", "`x`", "#shop", "a #b", "a: b: c", "a\tb", "> x")),
        *((text, text) for text in ("2024-13-45", "2024-01-01", "10:30", "http://localhost:8080")),
        *(("0.1", "0.1"), ("[a, 1]", ["a", 1]), ("{a: 1}", {"a": 1}), ("'@x'", "@x"), ("~", None)),
    ],
)
def test_a_value_with_a_special_meaning_in_yaml_is_text(text, value):
    assert read_assignments([f"deployment.experiment={text}"]) == {"deployment.experiment": value}


def test_a_setting_converts_the_text_of_a_value():
    values = ["trainer.dropout=0.1", "trainer.dimension=32", "refit=true", "data.columns.user=3", "name=2024"]
    config = load_config(None, read_assignments(values))
    assert (config.trainer.dropout, config.trainer.dimension, config.refit) == (0.1, 32, True)
    assert (config.data.columns.user, config.name) == ("3", "2024")
    space = read_assignments(["tuner.search_space.dropout.min=0.1", "tuner.search_space.dropout.max=0.5"])
    assert load_config(None, space).tuner.search_space["dropout"].max == 0.5


@pytest.mark.parametrize("text", ["[", "{a", "'a", '"a', "[" * 3000, "a\x07", "a\udcff", "{[a]: b}"])
def test_a_value_that_is_neither_yaml_nor_text_is_refused(text):
    with pytest.raises(ConfigError, match="the value is not YAML") as raised:
        read_assignments([f"deployment.experiment={text}"])
    assert "\n" not in str(raised.value)


def test_compilation_keeps_a_log_with_the_name_of_the_pipeline(tmp_path):
    (tmp_path / "shop.log").write_text("mine", encoding="utf-8")
    process = run_forked("kubeflow_runner", [*KUBEFLOW, "--name", "shop"], tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "shop.log").read_text(encoding="utf-8") == "mine"
