"""The content of the compiled files, which the engines' own loaders accept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kfp.components
import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.code_version import project_version

ROOT = Path(__file__).parents[2]
IMAGE = "registry.example/recommender:1"
DEPLOYMENT = f"""
name: shop
gate: {{min_recall_at_10: 0.1}}
deployment:
  image: {IMAGE}
  pipeline_root: gs://bucket/pipelines
  data: gs://bucket/log.csv
  cache: true
  env: {{AWS_ENDPOINT_URL: "http://minio:9000"}}
  labels: {{team: ads}}
  beam: [--runner=DataflowRunner, --project=p, --region=europe-west4, --temp_location=gs://bucket/tmp]
  resources:
    default: {{cpu: 2, memory: 8Gi}}
    Trainer: {{cpu: 7.5, gpu: 1, gpu_type: GPU}}
"""
SECRETS = "{AWS_ACCESS_KEY_ID: {secret: minio, key: access}, AWS_SECRET_ACCESS_KEY: {secret: minio, key: secret}}"
PODS = {
    "default": {
        "volumes": "[{claim: logs, path: /data, sub_path: shop}]",
        "pull_secrets": "[registry]",
        "pull_policy": "Always",
    },
    "Trainer": {
        "cpu_request": "4",
        "memory_request": "6Gi",
        "node_selector": "{cloud.google.com/gke-accelerator: nvidia-l4}",
        "tolerations": "[{key: nvidia.com/gpu, effect: NoSchedule}]",
        "scratch": "{size: 50Gi}",
        "timeout_minutes": "90",
        "retries": "2",
    },
}
STEPS = {
    *("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform", "Trainer", "LatestBlessedModel"),
    *("Evaluator", "Pusher"),
}
# Compiles pipelines, and reports slow modules that compilation must not import.
PROGRAM = """
import json
import sys
import kubeflow_runner
code = any([kubeflow_runner.main(arguments) for arguments in json.loads(sys.argv[1])])
slow = [name for name in ("tfx.v1", "google.cloud.aiplatform") if name in sys.modules]
sys.exit(f"needs {slow}" if slow else code)
"""
# Engine, file name extension, type of the GPU, and further settings.
PIPELINES = {
    "kubeflow": ("kubeflow", "yaml", "nvidia.com/gpu", "tuner: {enabled: false}\n"),
    "vertex": ("vertex", "json", "NVIDIA_TESLA_T4", "tuner: {enabled: true}\n"),
    "optional": ("kubeflow", "yaml", "nvidia.com/gpu", "refit: true\nteacher: {}\ntrainer: {warm_start: true}\n"),
}


def options(folder: Path, name: str) -> list[str]:
    """Writes the configuration of a pipeline to a new folder; returns the arguments that compile it there."""
    engine, extension, gpu, settings = PIPELINES[name]
    folder.mkdir()
    (folder / "c.yaml").write_text(DEPLOYMENT.replace("GPU", gpu) + settings)
    output = str(folder / f"pipeline.{extension}")
    options = ["--engine", engine, "--config", str(folder / "c.yaml"), "--output", output, "--max-bad-rows", "3"]
    if engine == "kubeflow":
        options += ["--set", f"deployment.secret_env={SECRETS}"]
        for step, pod in PODS.items():
            options += [
                o for key, value in pod.items() for o in ("--set", f"deployment.resources.{step}.{key}={value}")
            ]
    return options


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The compiled files, all from one process, because its imports take seconds."""
    folder = tmp_path_factory.mktemp("compiled")
    arguments = json.dumps([options(folder / name, name) for name in PIPELINES])
    environment = {"PATH": "/bin", "HOME": str(folder)}
    command = [sys.executable, "-c", PROGRAM, arguments]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert process.returncode == 0, process.stdout + process.stderr
    files = {name: folder / name / f"pipeline.{extension}" for name, (_, extension, _, _) in PIPELINES.items()}
    assert process.stdout.splitlines() == [f"compiled shop for {PIPELINES[name][0]}: {files[name]}" for name in files]
    for file in files.values():
        assert sorted(path.name for path in file.parent.iterdir()) == ["c.yaml", file.name]
    return files


@pytest.fixture(scope="module")
def kubeflow(files: dict[str, Path]) -> Path:
    return files["kubeflow"]


@pytest.fixture(scope="module")
def spec(kubeflow: Path) -> dict[str, Any]:
    first, *_ = yaml.safe_load_all(kubeflow.read_text(encoding="utf-8"))
    return first


@pytest.fixture(scope="module")
def job(files: dict[str, Path]) -> dict[str, Any]:
    return json.loads(files["vertex"].read_text(encoding="utf-8"))


def containers(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    executors = spec["deploymentSpec"]["executors"]
    return {name.removesuffix("_executor"): executor["container"] for name, executor in executors.items()}


def test_the_loader_of_kfp_accepts_the_yaml(kubeflow, spec):
    component = kfp.components.load_component_from_file(str(kubeflow))
    assert component.name == "shop"
    assert set(component.component_spec.inputs) == {"data", "encoder", "max_epochs", "max_minutes", "min_recall_at_10"}
    message = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert message.schema_version == "2.1.0"
    assert message.default_pipeline_root == "gs://bucket/pipelines"


def test_every_step_is_a_container_with_the_image(spec, job):
    for steps, pipeline_spec in ((STEPS, spec), (STEPS | {"Tuner"}, job["pipelineSpec"])):
        assert set(pipeline_spec["root"]["dag"]["tasks"]) == steps
        assert set(containers(pipeline_spec)) == steps, "Kubeflow has no resolvers"
        for step, container in containers(pipeline_spec).items():
            assert container["image"] == IMAGE
            assert container["command"] == ["python", "-m", "cluster.container"]
            assert {variable["name"]: variable["value"] for variable in container["env"]} == {
                "AWS_ENDPOINT_URL": "http://minio:9000",
                "PIPELINE_STEP": step,
                "COMPILED_CODE": project_version(),
                "ARTIFACTS_IN_PLACE": "yes",  # On Vertex, and for workers of Dataflow.
                **({"REQUESTED_GPUS": "1"} if step == "Trainer" else {}),
            }


def test_optional_steps_are_compiled_if_they_are_enabled(files):
    first, *_ = yaml.safe_load_all(files["optional"].read_text(encoding="utf-8"))
    tasks = first["root"]["dag"]["tasks"]
    assert set(tasks) == STEPS | {"WarmStart", "Teacher", "RefitTransform", "Refit"}
    assert tasks["WarmStart"]["cachingOptions"] == {}, "the last model changes from run to run"
    assert tasks["Refit"]["inputs"]["artifacts"]["model_blessing"]["taskOutputArtifact"]["producerTask"] == "Evaluator"
    for step in ("Trainer", "Refit"):
        assert tasks[step]["inputs"]["artifacts"]["teacher"]["taskOutputArtifact"]["producerTask"] == "Teacher"
    assert tasks["Pusher"]["inputs"]["artifacts"]["refitted_model"]["taskOutputArtifact"]["producerTask"] == "Refit"


def test_each_step_has_its_resources(spec, job):
    for name, container in containers(spec).items():
        resources = container["resources"]
        assert resources["resourceMemoryLimit"] == "8Gi" and resources["memoryLimit"] == pytest.approx(8.59, abs=0.01)
        assert resources["resourceCpuLimit"] == ("7.5" if name == "Trainer" else "2")
        assert ("accelerator" in resources) == (name == "Trainer")
    gpu = {"type": "nvidia.com/gpu", "count": "1", "resourceType": "nvidia.com/gpu", "resourceCount": "1"}
    assert containers(spec)["Trainer"]["resources"]["accelerator"] == gpu
    assert containers(job["pipelineSpec"])["Trainer"]["resources"]["accelerator"]["type"] == "NVIDIA_TESLA_T4"


def test_steps_have_the_beam_arguments_of_the_deployment(spec):
    for name in ("StatisticsGen", "Transform", "Evaluator"):
        assert containers(spec)[name]["args"][-4:-2] == ["--runner=DataflowRunner", "--project=p"]
    assert containers(spec)["ExampleGen"]["args"][-1] == containers(spec)["Transform"]["args"][-1], "workers read files"


def test_options_of_the_local_runner_reach_the_steps(spec):
    settings = spec["root"]["dag"]["tasks"]["ExampleGen"]["inputs"]["parameters"]["settings"]["runtimeValue"][
        "constant"
    ]
    assert json.loads(settings)["max_bad_rows"] == 3


def test_parameters_reach_their_steps(spec):
    tasks = spec["root"]["dag"]["tasks"]
    connections = {
        (name, key, source["componentInputParameter"])
        for name, task in tasks.items()
        for key, source in task.get("inputs", {}).get("parameters", {}).items()
        if "componentInputParameter" in source
    }
    assert connections == {
        ("ExampleGen", "data", "data"),
        *(("Trainer", name, name) for name in ("encoder", "max_epochs", "max_minutes")),
        ("Evaluator", "min_recall_at_10", "min_recall_at_10"),
    }
    declared = spec["root"]["inputDefinitions"]["parameters"]
    definitions = {
        name: (parameter["parameterType"], parameter["defaultValue"]) for name, parameter in declared.items()
    }
    assert definitions == {
        "data": ("STRING", "gs://bucket/log.csv"),
        "encoder": ("STRING", "transformer"),
        "max_epochs": ("NUMBER_INTEGER", 0),
        "max_minutes": ("NUMBER_DOUBLE", 0.0),
        "min_recall_at_10": ("NUMBER_DOUBLE", 0.1),
    }


def test_the_engine_caches_every_step_that_does_not_use_the_last_run(spec):
    for name, task in spec["root"]["dag"]["tasks"].items():
        uses_last_run = name in ("LatestBlessedModel", "ExampleValidator")
        assert task["cachingOptions"] == ({} if uses_last_run else {"enableCache": True})


def test_the_validator_reads_the_last_statistics_from_a_record(spec, job):
    for pipeline_spec in (spec, job["pipelineSpec"]):
        inputs = pipeline_spec["root"]["dag"]["tasks"]["ExampleValidator"]["inputs"]
        parameters = {name: value["runtimeValue"]["constant"] for name, value in inputs["parameters"].items()}
        assert parameters["record"] == "gs://bucket/pipelines/shop/last_statistics"
        assert json.loads(parameters["settings"])["new_items"]["warn"] == 0.05
        assert inputs["artifacts"]["catalog"]["taskOutputArtifact"]["producerTask"] == "ExampleGen"


def test_pods_have_the_configured_settings(kubeflow, spec):
    _, platform = yaml.safe_load_all(kubeflow.read_text(encoding="utf-8"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for executor in executors.values():
        json_format.ParseDict(executor, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    trainer, pusher = executors["Trainer_executor"], executors["Pusher_executor"]
    assert trainer["nodeSelector"] == {"labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"}}
    assert trainer["tolerations"] == [{"key": "nvidia.com/gpu", "effect": "NoSchedule", "operator": "Exists"}]
    assert trainer["genericEphemeralVolume"] == [
        {
            "volumeName": "scratch",
            "mountPath": "/tmp",
            "size": "50Gi",
            "defaultStorageClass": True,
            "accessModes": ["ReadWriteOnce"],
        }
    ]
    assert trainer["activeDeadlineSeconds"] == "5400"
    assert not {"nodeSelector", "tolerations", "genericEphemeralVolume"} & set(pusher)
    for pod in (trainer, pusher):  # By default.
        assert pod["imagePullSecret"] == [{"secretName": "registry"}] and pod["imagePullPolicy"] == "Always"
        assert pod["pvcMount"] == [
            {"pvcNameParameter": {"runtimeValue": {"constant": "logs"}}, "mountPath": "/data", "subPath": "shop"}
        ]
    retried = {
        name: task["retryPolicy"] for name, task in spec["root"]["dag"]["tasks"].items() if "retryPolicy" in task
    }
    assert set(retried) == {"Trainer"}
    assert retried["Trainer"]["maxRetryCount"] == 2 and retried["Trainer"]["backoffDuration"] == "60s"
    resources = containers(spec)["Trainer"]["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceMemoryRequest"]) == ("4", "6Gi")


def test_pods_and_jobs_have_labels_and_pods_have_secrets(kubeflow, job, spec):
    _, platform = yaml.safe_load_all(kubeflow.read_text(encoding="utf-8"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(spec["deploymentSpec"]["executors"])
    secrets = [
        {"secretName": "minio", "keyToEnv": [{"secretKey": key, "envVar": name}]}
        for name, key in (("AWS_ACCESS_KEY_ID", "access"), ("AWS_SECRET_ACCESS_KEY", "secret"))
    ]
    expected = {"podMetadata": {"labels": {"team": "ads"}}, "secretAsEnv": secrets}
    assert all(expected.items() <= executor.items() for executor in executors.values())
    assert job["labels"]["team"] == "ads"


def test_the_client_of_vertex_accepts_the_job(job, tmp_path):
    message = json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    json_format.ParseDict(json_format.MessageToDict(message.pipeline_spec), pipeline_spec_pb2.PipelineSpec())
    assert message.runtime_config.gcs_output_directory == "gs://bucket/pipelines"
    assert "encoder" not in message.runtime_config.parameter_values, "the Tuner needs a fixed encoder"

    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    file = tmp_path / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    pipeline_job = aiplatform.PipelineJob(
        "shop",
        str(file),
        parameter_values={"max_epochs": 3, "data": "gs://bucket/other.csv"},
        project="p",
        location="europe-west4",
        credentials=AnonymousCredentials(),
    )
    config = pipeline_job.to_dict()["runtimeConfig"]
    assert config["gcsOutputDirectory"] == "gs://bucket/pipelines"
    assert config["parameterValues"] == {
        "data": "gs://bucket/other.csv",
        "max_epochs": 3,
        "max_minutes": 0.0,
        "min_recall_at_10": 0.1,
    }
