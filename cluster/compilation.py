"""The pipeline as clusters run it: KFP 2 YAML for Kubeflow Pipelines, a PipelineJob for Vertex AI Pipelines."""

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
from pipeline.beam_runners import NO_CONTAINER
from pipeline.config import PipelineConfig
from pipeline.deployment import KUBERNETES_GPU, DeploymentSettings, Engine, StepResources, Toleration, quantity
from pipeline.parameters import DATA, PARAMETERS, defaults
from pipeline.pipeline import Places, create_pipeline

# Beam in the step's own container. The runner is named, since Beam's DirectRunner would first look for a binary on the
# internet. With no container image for Beam, TFX would first make a package of itself.
IN_CONTAINER = ["--runner=FnApiRunner", NO_CONTAINER]
# In place of TFX's own entry point.
ENTRY = ["python", "-m", "cluster.container"]
CACHE_DIR = "/tmp/on-device-recommender"

PIPELINE, NOTIFY = "Pipeline", "Notify"  # tasks: all steps together, and the last one

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
    _retry(job["pipelineSpec"]["root"]["dag"]["tasks"], deployment)
    _declare_shown(job["pipelineSpec"])
    if deployment.notify:
        _notify_at_the_end(job["pipelineSpec"], config.name, deployment.image)
    code = project_version()
    for name, step in _steps_of_executors(job["pipelineSpec"]).items():
        container = job["pipelineSpec"]["deploymentSpec"]["executors"][name]["container"]
        env = {**deployment.env, STEP: step, COMPILED_CODE: code}
        if deployment.in_place(engine):
            env[ARTIFACTS_IN_PLACE] = "yes"
        if gpus := container.get("resources", {}).get("accelerator", {}).get("count"):
            env[GPUS] = gpus  # So that a step notices when it sees fewer.
        container["env"] = [{"name": name, "value": value} for name, value in env.items()]
        if step != NOTIFY:
            container["command"] = list(ENTRY)
    if engine == "vertex":
        job["labels"].update(deployment.labels)
        return json.dumps(job, indent=1, sort_keys=True) + "\n"
    documents = [job["pipelineSpec"]]
    if platform := _platform(job["pipelineSpec"], deployment):
        documents.append(platform)
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


def _declare_shown(spec: dict[str, Any]) -> None:
    """Declare the outputs that the engines' pages show."""
    for step, shown in SHOWN.items():
        component = spec["components"][spec["root"]["dag"]["tasks"][step]["componentRef"]["name"]]
        for name, kind in shown.items():
            kind_of_output = {"schemaTitle": kind, "schemaVersion": "0.0.1"}
            component["outputDefinitions"]["artifacts"][name] = {"artifactType": kind_of_output}


def _notify_at_the_end(spec: dict[str, Any], pipeline: str, image: str) -> None:
    """Put all tasks into a DAG of their own, after which a last one runs, whether it failed or not.

    This is how KFP's own compiler writes an exit handler.
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


def _resources(wanted: StepResources) -> Any:
    """Limits and requests as KFP's own compiler writes them, in Kubernetes' words and as numbers; None without any."""
    spec = ResourceSpec()
    if wanted.cpu:
        spec.cpu_limit, spec.resource_cpu_limit = wanted.cpu, f"{wanted.cpu:g}"
    if wanted.cpu_request:
        spec.cpu_request, spec.resource_cpu_request = wanted.cpu_request, f"{wanted.cpu_request:g}"
    if wanted.memory:
        spec.memory_limit, spec.resource_memory_limit = quantity(wanted.memory) / 1e9, wanted.memory
    if wanted.memory_request:
        spec.memory_request, spec.resource_memory_request = quantity(wanted.memory_request) / 1e9, wanted.memory_request
    if wanted.gpu:
        kind = wanted.gpu_type or KUBERNETES_GPU
        spec.accelerator.type, spec.accelerator.count = kind, wanted.gpu
        spec.accelerator.resource_type, spec.accelerator.resource_count = kind, str(wanted.gpu)
    return spec if spec.ByteSize() else None


def _pod(deployment: DeploymentSettings, step: str) -> dict[str, Any]:
    """What Kubernetes alone knows of a step's pod, as a `KubernetesExecutorConfig`; empty where that is nothing."""
    wanted: dict[str, Any] = {}
    pod = deployment.of_step(step)
    if deployment.labels:
        wanted["podMetadata"] = {"labels": dict(deployment.labels)}
    if deployment.secret_env:
        wanted["secretAsEnv"] = [
            {"secretName": key.secret, "keyToEnv": [{"secretKey": key.key, "envVar": name}]}
            for name, key in deployment.secret_env.items()
        ]
    if pod.node_selector:
        wanted["nodeSelector"] = {"labels": dict(pod.node_selector)}
    if pod.tolerations:
        wanted["tolerations"] = [_toleration(toleration) for toleration in pod.tolerations]
    if pod.volumes:
        wanted["pvcMount"] = [
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
        wanted["genericEphemeralVolume"] = [{**scratch, "accessModes": ["ReadWriteOnce"]}]
    if pod.pull_secrets:
        wanted["imagePullSecret"] = [{"secretName": secret} for secret in pod.pull_secrets]
    if pod.pull_policy:
        wanted["imagePullPolicy"] = pod.pull_policy
    if pod.timeout_minutes:
        wanted["activeDeadlineSeconds"] = str(round(60 * pod.timeout_minutes))
    return wanted


def _toleration(toleration: Toleration) -> dict[str, Any]:
    wanted = toleration.model_dump(exclude_defaults=True, exclude={"seconds"}) | {"operator": toleration.operator}
    return wanted if toleration.seconds is None else {**wanted, "tolerationSeconds": str(toleration.seconds)}


def _platform(spec: dict[str, Any], deployment: DeploymentSettings) -> dict[str, Any]:
    """The second document of a YAML file: what Kubernetes alone knows; empty where that is nothing."""
    pods = {executor: _pod(deployment, step) for executor, step in _steps_of_executors(spec).items()}
    executors = {executor: pod for executor, pod in pods.items() if pod}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}} if executors else {}


def _steps_of_executors(spec: dict[str, Any]) -> dict[str, str]:
    """The name of the step that each executor of a pipeline spec runs, by the executor's name."""
    dags = [spec["root"]["dag"], *(part["dag"] for part in spec["components"].values() if "dag" in part)]
    components = {
        step: spec["components"][task["componentRef"]["name"]] for dag in dags for step, task in dag["tasks"].items()
    }
    return {part["executorLabel"]: step for step, part in components.items() if "executorLabel" in part}


def _retry(tasks: dict[str, Any], deployment: DeploymentSettings) -> None:
    """Let the engine run failed steps again."""
    for step, task in tasks.items():
        pod = deployment.of_step(step)
        if pod.retries:
            task["retryPolicy"] = {
                "maxRetryCount": pod.retries,
                "backoffDuration": f"{pod.retry_seconds}s",
                "backoffFactor": 2.0,
                "backoffMaxDuration": "3600s",
            }
