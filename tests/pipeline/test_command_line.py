"""Mistakes on the command line: one line, exit code 2, within three seconds, and nothing written."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 3.0  # seconds


def run(program: str, folder: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.monotonic()
    command = [sys.executable, str(ROOT / program), *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    return done, time.monotonic() - started


LOCAL = [
    (["--encodr", "cnn"], "unrecognized arguments: --encodr"),
    (["--encoder", "gru"], "trainer.encoder: input should be 'bow', 'cnn', 'lstm' or 'transformer', not 'gru'"),
    (["--history-length", "0"], "transform.history_length: input should be greater than or equal to 1, not 0"),
    (["--history-length", "ten"], "invalid int value: 'ten'"),
    (["--set", "trainer.dropuot=0.1"], "trainer.dropuot: unknown key; did you mean 'dropout'?"),
    (["--set", "dropout"], "expected KEY=VALUE"),
    (["--config", "none.yaml"], "none.yaml: no such configuration file"),
    (["--data", "nowhere.zip"], "nowhere.zip: no such file or folder"),
    (["--data", "s3://bucket/log.csv"], "s3://bucket/log.csv: not a path of this machine; copy the data here"),
    (["--serving-dir", "gs://bucket/models"], "gs://bucket/models: not a folder of this machine; mount the remote one"),
    (["--from-node", "Trainr"], "--from-node Trainr: no such step"),
    (["--from-node", "Pusher", "--to-node", "Trainer"], "comes after"),
    (["--to-node", "Tuner"], "--to-node Tuner: the step is not enabled; add --set tuner.enabled=true"),
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
]


@pytest.mark.parametrize(
    ("options", "message"), LOCAL, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_local_runner_says_what_is_wrong(tmp_path, options, message):
    data = ["--data", str(ROOT / "data" / "sample")] if "--data" not in options else []
    done, seconds = run("local_runner.py", tmp_path, *data, *options)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert seconds < LIMIT
    assert not list(tmp_path.rglob("*.db"))


def test_zip_that_is_corrupt_further_on(tmp_path):
    """Its first rows are whole, so that only unpacking it shows the damage."""
    archive = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("ratings.dat", "movies.dat"):
            target.write(ROOT / "data" / "sample" / name, f"ml-1m/{name}")
    content = bytearray(archive.read_bytes())
    content[40_000:40_050] = bytes(50)
    archive.write_bytes(content)
    done, seconds = run("local_runner.py", tmp_path, "--data", str(archive), "--cache-dir", str(tmp_path / "cache"))
    assert done.returncode == 2
    assert seconds < LIMIT
    assert "corrupt zip" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
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
        ([*VERTEX, "--pipeline-root", "s3://bucket/r"], "s3://bucket/r: Vertex AI keeps artifacts in gs:// alone"),
        ([*KUBEFLOW, "--pipeline-root", "s3:bucket"], "--pipeline-root s3:bucket: expected a URI"),
        (
            [*KUBEFLOW, "--pipeline-root", "s3://bucket/r", "--set", "deployment.beam=[--runner=FlinkRunner]"],
            "deployment.beam with --pipeline-root s3://bucket/r: other machines see no artifacts of it",
        ),
        ([*KUBEFLOW, "--pipeline-root", "minio://bucket/r"], "--pipeline-root minio://bucket/r: the steps must know"),
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
            "deployment.secret_env.KEY: is in deployment.env, too",
        ),
        ([*KUBEFLOW, "--set", "deployment.secret_env={KEY: minio}"], "deployment.secret_env.KEY: "),
        ([*KUBEFLOW, "--set", "deployment.secret_env={KEY: {secret: minio}}"], "secret_env.KEY.key: field required"),
        ([*KUBEFLOW, "--data", "ml-1m.zip"], "--data ml-1m.zip: expected a URI"),
        ([*KUBEFLOW, "--name", "my_shop"], "a cluster's pipeline takes '-' in place of '_'"),
        (
            [*KUBEFLOW, "--set", "deployment.resources.Evaluator.gpu=1"],
            "a GPU is of no use to Evaluator; give it to Trainer or Tuner",
        ),
        (
            [*KUBEFLOW, "--set", "deployment.resources.Trainer={gpu: 1, gpu_type: NVIDIA_L4}"],
            "Kubeflow names GPUs as Kubernetes does, such as nvidia.com/gpu",
        ),
        ([*VERTEX, "--set", "deployment.resources.Trainer.gpu=1"], "gpu_type is missing: Vertex AI has"),
        (
            [*VERTEX, "--set", "deployment.resources.Trainer={gpu: 3, gpu_type: NVIDIA_L4}"],
            "Trainer.gpu 3: Vertex AI attaches 1, 2, 4, 8 GPUs",
        ),
        ([*VERTEX, "--set", "deployment.resources.Trainer.memory=8gigs"], "a number and a unit, such as 8Gi or 500M"),
        ([*VERTEX, "--set", "deployment.resources.Trainr.cpu=8"], "there is no step Trainr"),
        ([*VERTEX, "--set", "deployment.beam=[runner]"], "deployment.beam.0: string should match pattern"),
        ([*VERTEX, "--set", "deployment.env={AWS-REGION: x}"], "deployment.env.AWS-REGION"),
        ([*VERTEX, "--set", "deployment.labels={Team: Ads}"], "deployment.labels.Team"),
        ([*KUBEFLOW, "--set", "beam.runner=flink"], "beam.runner flink: for local_runner.py; a cluster takes"),
        ([*KUBEFLOW, "--param", "encoder=cnn"], "--param is for --submit"),
        ([*KUBEFLOW, "--submit"], "--host is missing: expected the address of Kubeflow Pipelines"),
        ([*KUBEFLOW, "--submit", "--host", NOBODY, "--param", "encoder=gru"], "--param encoder=gru: Input should be"),
        (
            [
                *(*KUBEFLOW, "--set", "trainer={dimension: 33, encoder: cnn, members: []}"),
                *("--submit", "--host", NOBODY, "--param", "encoder=transformer"),
            ],
            "--param encoder=transformer: trainer.dimension 33 cannot be shared by 2 heads",
        ),
        ([*KUBEFLOW, "--submit", "--host", NOBODY, "--param", "epochs=3"], "and NAME one of data, encoder"),
        ([*VERTEX, "--submit", "--project", "p"], "--region is missing"),
        ([*KUBEFLOW, "--dry-run", "--host", NOBODY, "--cron", "daily"], "--cron 'daily': expected five fields"),
        ([*KUBEFLOW, "--dry-run", "--host", NOBODY, "--cron", "0 3 * * *", "--cache"], "--cron with deployment.cache"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_kubeflow_runner_says_what_is_wrong(tmp_path, options, message):
    done, seconds = run("kubeflow_runner.py", tmp_path, *options)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert seconds < LIMIT
    assert not list(tmp_path.iterdir())


def test_kubeflow_that_cannot_be_reached(tmp_path):
    done, _ = run("kubeflow_runner.py", tmp_path, *KUBEFLOW, "--submit", "--host", NOBODY)
    assert done.returncode == 1
    assert done.stderr.strip() == f"error: {NOBODY} cannot be reached: Connection refused"


def test_vertex_without_credentials(tmp_path, monkeypatch):
    for name, value in (("HOME", str(tmp_path)), ("NO_GCE_CHECK", "true"), ("CLOUDSDK_CONFIG", str(tmp_path))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    place = ["--project", "p", "--region", "europe-west4"]
    done, _ = run("kubeflow_runner.py", tmp_path, *VERTEX, "--submit", *place)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: there are no credentials for Google Cloud: run `gcloud auth")


@pytest.mark.parametrize("program", ["local_runner.py", "kubeflow_runner.py"])
def test_help_comes_at_once(tmp_path, program):
    done, seconds = run(program, tmp_path, "--help")
    assert done.returncode == 0 and "--config" in done.stdout
    assert seconds < LIMIT
