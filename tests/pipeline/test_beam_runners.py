"""Beam's arguments, and one line for each problem that keeps a runner from starting."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline import beam_runners, flink_jar
from pipeline.beam_runners import BeamSettings, beam_arguments, find_problems

DATAFLOW = {
    "project": "shop-1",
    "region": "europe-west4",
    "temp_location": "gs://bucket/tmp",
    "artifacts": "gs://bucket/pipelines",
    "image": "registry.example/recommender-worker:1",
}
NOBODY = "127.0.0.1:9"  # the discard port, where nothing listens


def settings(runner: str, **values: object) -> BeamSettings:
    return BeamSettings.model_validate({"runner": runner, **values})


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    path = tmp_path / "job-server.jar"
    path.write_bytes(b"")
    return path


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts only a fake Java on PATH."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def test_beam_runs_in_this_process_by_default():
    assert beam_arguments(BeamSettings()) == ["--runner=FnApiRunner", "--sdk_container_image=none"]
    assert find_problems(BeamSettings()) == []


def test_embedded_flink_has_its_workers_in_this_process(jar, java):
    embedded = settings("flink", flink={"jar": str(jar)}, arguments=["--parallelism=4"])
    arguments = beam_arguments(embedded)
    assert {"--flink_master=[local]", f"--flink_job_server_jar={jar}", "--environment_type=LOOPBACK"} <= set(arguments)
    assert arguments.index("--parallelism=2") < arguments.index("--parallelism=4"), "the last value is used"
    assert beam_arguments(embedded) == arguments, "results are cached under them"
    assert find_problems(embedded) == []


def test_a_flink_cluster_uses_the_pool_of_workers():
    flink = {"master": "flink.example:8081", "worker_pool": "localhost:50000"}
    arguments = beam_arguments(settings("flink", flink=flink))
    assert {"--flink_master=flink.example:8081", "--environment_type=EXTERNAL"} <= set(arguments)
    assert "--environment_config=localhost:50000" in arguments
    assert not any("LOOPBACK" in argument for argument in arguments)


def test_a_running_job_server_needs_no_java(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        running = settings("flink", flink={"job_endpoint": endpoint, "worker_pool": "localhost:50000"})
        assert find_problems(running) == []
    assert beam_arguments(running)[:2] == ["--runner=PortableRunner", f"--job_endpoint={endpoint}"]
    assert not any("jar" in argument for argument in beam_arguments(running))


@pytest.mark.parametrize(
    ("runner", "values", "message"),
    [
        ("flink", {"flink": {"jar": "nowhere.jar"}}, "beam.flink.jar nowhere.jar: no such file; `make flink-jar`"),
        ("flink", {"flink": {"master": NOBODY}}, "beam.flink.master 127.0.0.1:9: Flink's JobManager cannot be reached"),
        ("flink", {"flink": {"master": "flink.invalid:8081"}}, "beam.flink.worker_pool is missing"),
        ("flink", {"flink": {"job_endpoint": NOBODY}}, "127.0.0.1:9: Beam's job server cannot be reached: Connection"),
        *(("dataflow", {"dataflow": {**DATAFLOW, name: ""}}, f"beam.dataflow.{name} is missing") for name in DATAFLOW),
        ("dataflow", {"dataflow": {**DATAFLOW, "temp_location": "/tmp"}}, "beam.dataflow.temp_location /tmp: expected"),
    ],
    ids=str,
)
def test_each_problem_is_named_in_one_line(java, runner, values, message):
    problems = find_problems(settings(runner, **values))
    assert any(message in line for line in problems), problems
    assert not any("\n" in line for line in problems)


def test_missing_java_is_named(jar, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert find_problems(settings("flink", flink={"jar": str(jar)})) == [
        "java is not on PATH: Beam's job server for Flink needs Java 17"
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"flink": {"master": "flink"}},
        {"flink": {"worker_pool": "50000"}},
        {"parallelism": 0},
        {"arguments": ["runner"]},
    ],
    ids=str,
)
def test_invalid_values_are_refused(values):
    with pytest.raises(ValidationError):
        settings("flink", **values)


def test_missing_maven_is_named(java, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(flink_jar.JarError, match=r"^mvn is not on PATH; install Java 17 and Maven"):
        flink_jar.make_jar()
    assert not flink_jar.jar_path().exists()


def test_beam_accepts_the_arguments_for_dataflow():
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, WorkerOptions
    from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner

    account = {**DATAFLOW, "service_account": "beam@shop-1.iam.gserviceaccount.com"}
    # Without --dry_run, Beam would check the bucket.
    complete = settings("dataflow", dataflow=account, arguments=["--max_num_workers=8", "--dry_run=True"])
    assert find_problems(complete) == []
    options = PipelineOptions(beam_arguments(complete))
    assert PipelineOptionsValidator(options, DataflowRunner()).validate() == []
    google, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    assert (google.project, google.region, google.temp_location) == ("shop-1", "europe-west4", "gs://bucket/tmp")
    assert google.service_account_email == account["service_account"]
    assert (workers.sdk_container_image, workers.max_num_workers) == (account["image"], 8)


def test_dataflow_accepts_a_step_in_a_dry_run(tmp_path, monkeypatch):
    """Beam creates the entire job of StatisticsGen; with `--dry_run`, it stops before it sends the job."""
    import tensorflow as tf
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
    from tfx.components.statistics_gen.executor import Executor
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
    from tfx.types import artifact_utils, standard_artifacts

    runners: list[DataflowRunner] = []
    run = DataflowRunner.run_pipeline
    monkeypatch.setattr(
        DataflowRunner, "run_pipeline", lambda self, *args, **kwargs: runners.append(self) or run(self, *args, **kwargs)
    )
    dry_run = settings("dataflow", dataflow=DATAFLOW, arguments=["--dry_run=True", "--no_auth"])
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=beam_arguments(dry_run), tmp_dir=str(tmp_path / "temporary"), unique_id="1"
    )
    examples, statistics = standard_artifacts.Examples(), standard_artifacts.ExampleStatistics()
    examples.uri, statistics.uri = str(tmp_path / "examples"), str(tmp_path / "statistics")
    (tmp_path / "examples" / "Split-train").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(tmp_path / "examples" / "Split-train" / "data_tfrecord.gz"), "GZIP") as writer:
        writer.write(b"")
    examples.split_names = artifact_utils.encode_split_names(["train"])
    Executor(context).Do({"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": "[]"})

    (runner,) = runners
    job = runner.proto_pipeline.components
    images = [part.payload.decode(errors="replace") for part in job.environments.values()]
    assert images and all(DATAFLOW["image"] in image for image in images)
    assert any("GenerateStatistics" in part.unique_name for part in job.transforms.values())


def test_every_setting_is_described_in_the_docstring():
    for kind in (beam_runners.BeamSettings, beam_runners.FlinkSettings, beam_runners.DataflowSettings):
        assert all(f"        {name}: " in (kind.__doc__ or "") for name in kind.model_fields)
