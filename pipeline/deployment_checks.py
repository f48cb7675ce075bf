"""Checks that the settings of a deployment suit an engine."""

from __future__ import annotations

import re

from components.settings import WEBHOOK
from pipeline.deployment import EVERY_STEP, KUBERNETES_GPU, DeploymentSettings, Engine, StepResources, quantity

# What Vertex AI attaches to a step, by the names of its AcceleratorType.
VERTEX_GPUS = (
    *("NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_T4", "NVIDIA_TESLA_A100"),
    *("NVIDIA_A100_80GB", "NVIDIA_L4", "NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB"),
)
VERTEX_GPU_COUNTS = (1, 2, 4, 8)
# The only object store of clusters that TensorFlow reads and writes.
IN_PLACE = "gs://"
MINIO = "minio://"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")

_BUCKET = re.compile(r"(gs|s3|minio)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s]+)*/?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*?(@sha256:[0-9a-f]{64})?")


def find_problems(settings: DeploymentSettings, engine: Engine, pipeline: str) -> list[str]:
    """Returns one line for each setting that does not suit an engine.

    Args:
        settings: the deployment.
        engine: `kubeflow` or `vertex`.
        pipeline: name of the pipeline.
    """
    problems = _image_problems(settings) + _place_problems(settings, engine) + _environment_problems(settings, engine)
    if engine == "vertex" and not pipeline[:1].isalpha():
        problems.append(f"name {pipeline}: a job of Vertex AI starts with a letter; choose another --name")
    if "_" in pipeline:
        problems.append(f"name {pipeline}: a cluster does not accept '_', use '-'; choose another --name")
    for step, resources in settings.resources.items():
        key = f"deployment.resources.{step}"
        problems += _resource_problems(key, resources, engine)
        with_gpu = settings.resources.values() if step == EVERY_STEP else (resources,)
        if resources.gpu_type and not any(other.gpu for other in with_gpu):
            problems.append(f"{key}.gpu_type {resources.gpu_type}: no GPU; set gpu, the number of GPUs, or remove it")
    if engine == "kubeflow":
        for name in ("network", "encryption_key"):
            if getattr(settings, name):
                problems.append(f"deployment.{name}: only for Vertex AI, not for Kubeflow")
    return problems


def _image_problems(settings: DeploymentSettings) -> list[str]:
    if not settings.image:
        return ["--image is missing: the container image with this project, such as REGISTRY/recommender:1"]
    if not _IMAGE.fullmatch(settings.image):
        return [f"--image {settings.image}: not the name of a container image, such as REGISTRY/recommender:1"]
    return []


def _place_problems(settings: DeploymentSettings, engine: Engine) -> list[str]:
    problems = []
    root = settings.pipeline_root
    if not root:
        problems.append("--pipeline-root is missing: a folder for artifacts, such as gs://BUCKET/pipelines")
    elif not _BUCKET.fullmatch(root):
        problems.append(f"--pipeline-root {root}: expected a URI such as gs://BUCKET/pipelines")
    elif set("*?[\\") & set(root):
        problems.append(f"--pipeline-root {root}: must not contain *, ?, [ or \\, which the steps read as patterns")
    elif not root.startswith(IN_PLACE) and engine == "vertex":
        problems.append(f"--pipeline-root {root}: Vertex AI stores artifacts only in gs://")
    elif not root.startswith(IN_PLACE) and settings.beam:
        problems.append(
            f"deployment.beam with --pipeline-root {root}: workers on other machines cannot read its artifacts, which "
            "each step has on its own disk; use a gs:// root, or run Beam in the containers"
        )
    if not settings.data:
        problems.append("--data is missing: the log as the containers see it, such as gs://BUCKET/ml-1m.zip")
    for flag, place in (("--data", settings.data), ("--serving-dir", settings.serving_dir)):
        if place and not place.startswith("/") and not _BUCKET.fullmatch(place):
            problems.append(f"{flag} {place}: expected a URI such as gs:// or s3://BUCKET/folder, or an absolute path")
    return problems


def _environment_problems(settings: DeploymentSettings, engine: Engine) -> list[str]:
    problems = []
    if settings.secret_env and engine == "vertex":
        problems.append(
            "deployment.secret_env: Vertex AI has no Kubernetes secrets; grant permissions to --service-account"
        )
    names = {*settings.env, *settings.secret_env}
    if settings.notify and WEBHOOK not in names:
        problems.append(f"deployment.notify: no webhook; set its URL as {WEBHOOK} in deployment.secret_env or .env")
    for name in sorted(set(settings.env) & set(settings.secret_env)):
        problems.append(f"deployment.secret_env.{name}: is also in deployment.env; remove one of them")
    places = {"--pipeline-root": settings.pipeline_root, "--data": settings.data, "--serving-dir": settings.serving_dir}
    for flag, place in places.items():
        if place.startswith(MINIO) and not names.intersection(ENDPOINTS):
            problems.append(
                f"{flag} {place}: the steps need the address of this store, such as "
                "--set deployment.env.AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:9000"
            )
    return problems


def _resource_problems(key: str, resources: StepResources, engine: Engine) -> list[str]:
    problems = _gpu_problems(key, resources, engine) if resources.gpu else []
    cpu, cpu_request = resources.cpu, resources.cpu_request
    if cpu and cpu_request and cpu_request > cpu:
        problems.append(f"{key}.cpu_request {cpu_request:g}: greater than cpu, which is {cpu:g}")
    memory, memory_request = resources.memory, resources.memory_request
    if memory and memory_request and quantity(memory_request) > quantity(memory):
        problems.append(f"{key}.memory_request {memory_request}: greater than memory, which is {memory}")
    if engine == "vertex":
        names = ("timeout_minutes", "node_selector", "tolerations", "volumes", "scratch", "pull_secrets", "pull_policy")
        given = [name for name in names if getattr(resources, name)]
        problems += [f"{key}.{name}: only for Kubeflow, not for Vertex AI" for name in given]
    return problems


def _gpu_problems(key: str, resources: StepResources, engine: Engine) -> list[str]:
    kind, count = resources.gpu_type, resources.gpu
    if engine == "kubeflow":
        if "/" in (kind or KUBERNETES_GPU):
            return []
        return [f"{key}.gpu_type {kind}: Kubeflow uses Kubernetes' names of GPUs, such as {KUBERNETES_GPU}"]
    if kind not in VERTEX_GPUS:
        return [f"{key}.gpu_type {kind or 'is missing'}: Vertex AI has {', '.join(VERTEX_GPUS)}"]
    if count not in VERTEX_GPU_COUNTS:
        return [f"{key}.gpu {count}: Vertex AI attaches {', '.join(map(str, VERTEX_GPU_COUNTS))} GPUs to a step"]
    return []
