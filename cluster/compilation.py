"""Compiles the pipeline: KFP 2 YAML for Kubeflow Pipelines, or a PipelineJob for Vertex AI Pipelines."""

from __future__ import annotations

import json
from typing import Any

import yaml
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig

from cluster.shown import OUTCOME, SHOWN
from components.code_version import project_version
from components.settings import ARTIFACTS_IN_PLACE, COMPILED_CODE, GPUS, STEP
from pipeline import steps
from pipeline.beam_runners import LOCAL_ARGUMENTS
from pipeline.config import PipelineConfig
from pipeline.deployment import KUBERNETES_GPU, DeploymentSettings, Engine, StepResources, Toleration, quantity
from pipeline.parameters import DATA, PARAMETERS, defaults
from pipeline.pipeline import Places, create_pipeline

# Replaces TFX's own entry point.
ENTRY = ["python", "-m", "cluster.container"]
CACHE_DIR = "/tmp/on-device-recommender"

PIPELINE, NOTIFY = "Pipeline", "Notify"  # tasks: all steps, and the task after them

ResourceSpec = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def compile_pipeline(config: PipelineConfig, engine: Engine) -> str:
    """Compiles the pipeline, without writing anything.

    Args:
        config: configuration whose `deployment` suits the engine.
        engine: `kubeflow` or `vertex`.

    Returns:
        The text of the file: for Kubeflow a pipeline spec of version 2.1 in YAML, with a platform spec if any setting
        is specific to Kubernetes; for Vertex AI a PipelineJob in JSON.
    """
    deployment = config.deployment
    root = deployment.pipeline_root.rstrip("/")
    default_values = defaults(config)
    parameters = {
        name: RuntimeParameter(name, PARAMETERS[name].type, value, PARAMETERS[name].help)
        for name, value in default_values.items()
    }
    pipeline = create_pipeline(
        config,
        Places(
            data=parameters.pop(DATA),
            data_fingerprint="",
            cache_dir=CACHE_DIR,
            pipeline_root=deployment.pipeline_root,
            serving_root=deployment.serving_dir or f"{root}/serving_models",
            statistics_record=f"{root}/{config.name}/last_statistics",
            schema=f"{deployment.project_dir}/data/schema.pbtxt",
            blessed_record=f"{root}/{config.name}/last_blessed_model",
        ),
        enable_cache=deployment.cache,
        beam_pipeline_args=list(deployment.beam) or LOCAL_ARGUMENTS,
        parameters=parameters,
    )
    for component in pipeline.components:
        if isinstance(component, BaseComponent) and (resources := _resources(deployment.of_step(component.id))):
            component.with_platform_config(resources)
    runner = KubeflowV2DagRunner(KubeflowV2DagRunnerConfig(default_image=deployment.image, use_pipeline_spec_2_1=True))
    job = runner.run(pipeline, parameter_values=default_values, write_out=False)
    spec = job["pipelineSpec"]
    _complete(spec, deployment.pipeline_root, default_values)
    _add_retries(spec["root"]["dag"]["tasks"], deployment)
    _declare_shown(spec)
    if deployment.notify:
        _add_notification(spec, config.name, deployment.image)
    code = project_version()
    for name, step in _steps_of_executors(spec).items():
        container = spec["deploymentSpec"]["executors"][name]["container"]
        env = {**deployment.env, STEP: step, COMPILED_CODE: code}
        if engine == "vertex" or deployment.beam:  # Kubeflow's launcher copies artifacts, but not for Beam's workers.
            env[ARTIFACTS_IN_PLACE] = "yes"
        if gpus := container.get("resources", {}).get("accelerator", {}).get("count"):
            env[GPUS] = gpus  # The step checks that it sees as many.
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
        if step != NOTIFY:
            container["command"] = list(ENTRY)
    if engine == "vertex":
        job["labels"].update(deployment.labels)
        return json.dumps(job, indent=1, sort_keys=True) + "\n"
    documents = [spec]
    if platform := _platform(spec, deployment):
        documents.append(platform)
    return yaml.safe_dump_all(documents, sort_keys=True)


def _complete(spec: dict[str, Any], pipeline_root: str, default_values: dict[str, Any]) -> None:
    """Adds the fields to a pipeline spec that TFX leaves out."""
    spec["defaultPipelineRoot"] = pipeline_root
    declared = spec["root"]["inputDefinitions"]["parameters"]
    for name, value in default_values.items():
        declared[name].update(defaultValue=value, isOptional=True, description=PARAMETERS[name].help)
    # These steps read records of earlier runs, which change although their inputs do not: no caching.
    tasks = spec["root"]["dag"]["tasks"]
    for step in (steps.WARM_START, steps.RESOLVER, steps.EXAMPLE_VALIDATOR):
        if step in tasks:
            tasks[step]["cachingOptions"] = {}


def _declare_shown(spec: dict[str, Any]) -> None:
    """Declares the outputs that the user interfaces of the engines show."""
    for step, shown in SHOWN.items():
        component = spec["components"][spec["root"]["dag"]["tasks"][step]["componentRef"]["name"]]
        for name, schema_title in shown.items():
            artifact_type = {"schemaTitle": schema_title, "schemaVersion": "0.0.1"}
            component["outputDefinitions"]["artifacts"][name] = {"artifactType": artifact_type}


def _add_notification(spec: dict[str, Any], pipeline: str, image: str) -> None:
    """Moves all tasks to a nested DAG, and adds a task that runs after it, even if it failed.

    KFP's own compiler writes an exit handler in the same way.
    """
    root = spec["root"]
    parameters = root["inputDefinitions"]["parameters"]
    spec["components"][PIPELINE] = {"dag": root["dag"], "inputDefinitions": {"parameters": parameters}}
    spec["components"][NOTIFY] = {
        "executorLabel": NOTIFY,
        "outputDefinitions": {
            "artifacts": {OUTCOME: {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}}
        },
    }
    command = ["python", "-m", "cluster.notify"]
    arguments = ["--pipeline", pipeline, "--executor_input", "{{$}}"]
    spec["deploymentSpec"]["executors"][NOTIFY] = {"container": {"image": image, "command": command, "args": arguments}}
    root["dag"] = {
        "tasks": {
            PIPELINE: {
                "componentRef": {"name": PIPELINE},
                "inputs": {"parameters": {name: {"componentInputParameter": name} for name in parameters}},
                "taskInfo": {"name": PIPELINE},
            },
            NOTIFY: {
                "componentRef": {"name": NOTIFY},
                "dependentTasks": [PIPELINE],
                "taskInfo": {"name": NOTIFY},
                "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
            },
        }
    }


def _resources(resources: StepResources) -> Any:
    """Returns limits and requests as numbers and as Kubernetes quantities, as KFP's compiler does; None if empty."""
    spec = ResourceSpec()
    if cpu := resources.cpu:
        spec.cpu_limit, spec.resource_cpu_limit = cpu, f"{cpu:g}"
    if cpu := resources.cpu_request:
        spec.cpu_request, spec.resource_cpu_request = cpu, f"{cpu:g}"
    if memory := resources.memory:
        spec.memory_limit, spec.resource_memory_limit = quantity(memory) / 1e9, memory
    if memory := resources.memory_request:
        spec.memory_request, spec.resource_memory_request = quantity(memory) / 1e9, memory
    if resources.gpu:
        gpu_type = resources.gpu_type or KUBERNETES_GPU
        spec.accelerator.type, spec.accelerator.count = gpu_type, resources.gpu
        spec.accelerator.resource_type, spec.accelerator.resource_count = gpu_type, str(resources.gpu)
    return spec if spec.ByteSize() else None


def _pod(deployment: DeploymentSettings, step: str) -> dict[str, Any]:
    """Returns the Kubernetes settings of a step's pod as a `KubernetesExecutorConfig`; may be empty."""
    executor_config: dict[str, Any] = {}
    pod = deployment.of_step(step)
    if deployment.labels:
        executor_config["podMetadata"] = {"labels": dict(deployment.labels)}
    if deployment.secret_env:
        executor_config["secretAsEnv"] = [
            {"secretName": key.secret, "keyToEnv": [{"secretKey": key.key, "envVar": name}]}
            for name, key in deployment.secret_env.items()
        ]
    if pod.node_selector:
        executor_config["nodeSelector"] = {"labels": dict(pod.node_selector)}
    if pod.tolerations:
        executor_config["tolerations"] = [_toleration(toleration) for toleration in pod.tolerations]
    if pod.volumes:
        executor_config["pvcMount"] = [
            {
                "pvcNameParameter": {"runtimeValue": {"constant": volume.claim}},
                "mountPath": volume.path,
                **({"subPath": volume.sub_path} if volume.sub_path else {}),
            }
            for volume in pod.volumes
        ]
    if pod.scratch:
        scratch: dict[str, Any] = {"volumeName": "scratch", "mountPath": pod.scratch.path, "size": pod.scratch.size}
        storage = pod.scratch.storage_class
        scratch |= {"storageClassName": storage} if storage else {"defaultStorageClass": True}
        executor_config["genericEphemeralVolume"] = [{**scratch, "accessModes": ["ReadWriteOnce"]}]
    if pod.pull_secrets:
        executor_config["imagePullSecret"] = [{"secretName": secret} for secret in pod.pull_secrets]
    if pod.pull_policy:
        executor_config["imagePullPolicy"] = pod.pull_policy
    if pod.timeout_minutes:
        executor_config["activeDeadlineSeconds"] = str(round(60 * pod.timeout_minutes))
    return executor_config


def _toleration(toleration: Toleration) -> dict[str, Any]:
    fields = toleration.model_dump(exclude_defaults=True, exclude={"seconds"}) | {"operator": toleration.operator}
    return fields if toleration.seconds is None else {**fields, "tolerationSeconds": str(toleration.seconds)}


def _platform(spec: dict[str, Any], deployment: DeploymentSettings) -> dict[str, Any]:
    """Returns the platform spec with the Kubernetes settings, the second document of the YAML file; may be empty."""
    pods = {executor: _pod(deployment, step) for executor, step in _steps_of_executors(spec).items()}
    executors = {executor: pod for executor, pod in pods.items() if pod}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}} if executors else {}


def _steps_of_executors(spec: dict[str, Any]) -> dict[str, str]:
    """Returns the name of each executor's step, by the name of the executor."""
    dags = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    components = {
        step: spec["components"][task["componentRef"]["name"]] for dag in dags for step, task in dag["tasks"].items()
    }
    return {part["executorLabel"]: step for step, part in components.items() if "executorLabel" in part}


def _add_retries(tasks: dict[str, Any], deployment: DeploymentSettings) -> None:
    """Lets the engine retry failed steps."""
    for step, task in tasks.items():
        pod = deployment.of_step(step)
        if pod.retries:
            task["retryPolicy"] = {
                "maxRetryCount": pod.retries,
                "backoffDuration": f"{pod.retry_seconds}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }
