"""The pipeline as clusters run it: KFP 2 YAML for Kubeflow Pipelines, a PipelineJob for Vertex AI Pipelines."""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from components.settings import GPUS
from pipeline import steps
from pipeline.config import PipelineConfig
from pipeline.deployment import KUBERNETES_GPU, DeploymentSettings, Engine, StepResources
from pipeline.parameters import DATA, PARAMETERS, defaults
from pipeline.pipeline import Places, create_pipeline

# Beam in the step's own container. Named, since Beam's DirectRunner would first look for a binary on the internet.
IN_CONTAINER = ["--runner=FnApiRunner"]
# In place of TFX's own entry point, which Vertex AI takes.
ON_KUBEFLOW = ["python", "-m", "pipeline.container"]
CACHE_DIR = "/tmp/on-device-recommender"

ResourceSpec = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def compile_pipeline(config: PipelineConfig, engine: Engine) -> str:
    """Compile the pipeline; nothing is read but this project, nothing is written.

    Args:
        config: whose `deployment` fits the engine.
        engine: `kubeflow` or `vertex`.

    Returns:
        The file's text: a pipeline spec of version 2.1 in YAML, with a platform spec where there are labels or secrets;
        or a PipelineJob in JSON.
    """
    deployment = config.deployment
    given = defaults(config)
    parameters = {
        name: RuntimeParameter(name, PARAMETERS[name].type, default, PARAMETERS[name].about)
        for name, default in given.items()
    }
    pipeline = create_pipeline(
        config,
        Places(
            data=parameters.pop(DATA),
            data_fingerprint="",
            cache_dir=CACHE_DIR,
            pipeline_root=deployment.pipeline_root,
            serving_root=deployment.models_folder(),
            statistics_record=deployment.statistics_record(config.name),
            schema=f"{deployment.project_dir}/data/schema.pbtxt",
            blessed_record=deployment.blessed_record(config.name),
        ),
        enable_cache=deployment.cache,
        beam_pipeline_args=list(deployment.beam) or IN_CONTAINER,
        parameters=parameters,
    )
    for component in pipeline.components:
        if isinstance(component, BaseComponent) and (wanted := _resources(deployment.of_step(component.id))):
            component.with_platform_config(wanted)
    runner = KubeflowV2DagRunner(KubeflowV2DagRunnerConfig(default_image=deployment.image, use_pipeline_spec_2_1=True))
    job = runner.run(pipeline, parameter_values=given, write_out=False)
    _complete(job["pipelineSpec"], deployment.pipeline_root, given)
    for executor in job["pipelineSpec"]["deploymentSpec"]["executors"].values():
        env = dict(deployment.env)
        if gpus := executor["container"].get("resources", {}).get("accelerator", {}).get("count"):
            env[GPUS] = gpus  # So that a step notices when it sees fewer.
        if env:
            executor["container"]["env"] = [{"name": name, "value": value} for name, value in env.items()]
        if engine == "kubeflow":
            executor["container"]["command"] = list(ON_KUBEFLOW)
    if engine == "vertex":
        job["labels"].update(deployment.labels)
        return json.dumps(job, indent=1, sort_keys=True) + "\n"
    documents = [job["pipelineSpec"]]
    if wanted := _of_kubernetes(deployment):
        documents.append(_platform(job["pipelineSpec"], wanted))
    return yaml.safe_dump_all(documents, sort_keys=True)


def _complete(spec: dict[str, Any], pipeline_root: str, given: dict[str, Any]) -> None:
    """Add to a pipeline spec what TFX leaves out."""
    spec["defaultPipelineRoot"] = pipeline_root
    declared = spec["root"]["inputDefinitions"]["parameters"]
    for name, default in given.items():
        declared[name].update(defaultValue=default, isOptional=True, description=PARAMETERS[name].about)
    # What was blessed, and which data passed, changes from run to run, though nothing that these steps are given does.
    tasks = spec["root"]["dag"]["tasks"]
    for step in (steps.WARM_START, steps.RESOLVER, steps.EXAMPLE_VALIDATOR):
        if step in tasks:
            tasks[step]["cachingOptions"] = {}


def _resources(wanted: StepResources) -> Any:
    """Limits as KFP's own compiler writes them, in Kubernetes' words and as numbers; None where there are none."""
    spec = ResourceSpec()
    if wanted.cpu:
        spec.cpu_limit, spec.resource_cpu_limit = wanted.cpu, f"{wanted.cpu:g}"
    if wanted.memory:
        spec.memory_limit, spec.resource_memory_limit = wanted.memory_bytes() / 1e9, wanted.memory
    if wanted.gpu:
        kind = wanted.gpu_type or KUBERNETES_GPU
        spec.accelerator.type, spec.accelerator.count = kind, wanted.gpu
        spec.accelerator.resource_type, spec.accelerator.resource_count = kind, str(wanted.gpu)
    return spec if spec.ByteSize() else None


def _of_kubernetes(deployment: DeploymentSettings) -> dict[str, Any]:
    """What every step's pod has besides, as a `KubernetesExecutorConfig`; empty where that is nothing."""
    wanted: dict[str, Any] = {}
    if deployment.labels:
        wanted["podMetadata"] = {"labels": dict(deployment.labels)}
    if deployment.secret_env:
        wanted["secretAsEnv"] = [
            {"secretName": key.secret, "keyToEnv": [{"secretKey": key.key, "envVar": name}]}
            for name, key in deployment.secret_env.items()
        ]
    return wanted


def _platform(spec: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The second document of a YAML file: what Kubernetes alone knows."""
    executors = {name: copy.deepcopy(wanted) for name in spec["deploymentSpec"]["executors"]}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
