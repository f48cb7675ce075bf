"""Settings of a deployment: what a cluster must be told besides the pipeline.

This module imports neither TensorFlow nor TFX, so that mistakes are answered at once.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from components.settings import WEBHOOK, Settings
from pipeline.steps import REFIT, STEPS, TRAINER, TUNER

Engine = Literal["kubeflow", "vertex"]
LabelText = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$")]
KubernetesName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _quantity(text: Any) -> Any:
    if isinstance(text, str) and not re.fullmatch(r"[0-9]+(\.[0-9]+)?[MGT]i?", text):
        raise ValueError("takes a number and a unit, such as 8Gi or 500M")
    return text


Quantity = Annotated[str, BeforeValidator(_quantity)]

# Units of memory and disk, in bytes.
UNITS = {"M": 1e6, "G": 1e9, "T": 1e12, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
GPU_STEPS = (TRAINER, TUNER, REFIT)
EVERY_STEP = "default"
KUBERNETES_GPU = "nvidia.com/gpu"
# What Vertex AI attaches to a step, by the names of its AcceleratorType.
VERTEX_GPUS = (
    *("NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100", "NVIDIA_TESLA_P4", "NVIDIA_TESLA_T4", "NVIDIA_TESLA_A100"),
    *("NVIDIA_A100_80GB", "NVIDIA_L4", "NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB"),
)
VERTEX_GPU_COUNTS = (1, 2, 4, 8)

# Of the object stores that clusters use, TensorFlow reads and writes this one alone.
IN_PLACE = "gs://"
MINIO = "minio://"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")

_BUCKET = re.compile(r"(gs|s3|minio)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[^/\s]+)*/?")
_IMAGE = re.compile(r"[a-z0-9][\w.:/-]*?(@sha256:[0-9a-f]{64})?")


class Toleration(Settings):
    """A taint of nodes that a step's pod tolerates, in Kubernetes' words.

    Attributes:
        key: of the taint; empty for every taint.
        operator: `Exists`, or `Equal` to `value`.
        value: of the taint.
        effect: of the taint; empty for every effect.
        seconds: how long a pod that runs stays on a node that gets the taint; None for ever.
    """

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = Field(None, ge=0)


class Volume(Settings):
    """A PersistentVolumeClaim that is mounted in a step's container.

    Attributes:
        claim: its name.
        path: where it is mounted.
        sub_path: folder of the volume that is mounted; empty for all of it.
    """

    claim: KubernetesName
    path: Annotated[str, StringConstraints(pattern=r"^/.+$")]
    sub_path: str = ""


class Scratch(Settings):
    """Disk of a step's own, for temporary files, that Kubernetes creates and deletes with the pod.

    Attributes:
        size: such as `50Gi`.
        storage_class: of Kubernetes; empty for the default one.
        path: where it is mounted.
    """

    size: Quantity
    storage_class: str = ""
    path: Annotated[str, StringConstraints(pattern=r"^/.+$")] = "/tmp"


class StepResources(Settings):
    """What a step's container gets, and where it runs.

    Attributes:
        cpu: most cores.
        memory: most memory, such as `8Gi` or `500M`.
        cpu_request: cores that a node must have free; None: as many as `cpu`.
        memory_request: memory that a node must have free; None: as much as `memory`.
        gpu: how many; the Trainer, the Tuner and Refit make use of them.
        gpu_type: a Kubernetes resource such as `nvidia.com/gpu` for Kubeflow (the default there), or the name that
            Vertex AI has for it, such as `NVIDIA_TESLA_T4`.
        retries: how often the engine runs a failed step again. The Trainer goes on after its last epoch.
        retry_seconds: pause before the first of these runs, doubled for each further one.
        timeout_minutes: after which Kubernetes stops the step's pod; Kubeflow only, like all that follow.
        node_selector: labels of the nodes on which the step may run.
        tolerations: taints of nodes that the step's pod tolerates.
        volumes: claims that are mounted, for instance the one that holds the log.
        scratch: disk for temporary files.
        pull_secrets: Kubernetes secrets with the credentials of the image's registry.
        pull_policy: when a node pulls the image; empty for Kubernetes' default, which keeps a tag that it has.
    """

    cpu: float | None = Field(None, gt=0)
    memory: Quantity | None = None
    cpu_request: float | None = Field(None, gt=0)
    memory_request: Quantity | None = None
    gpu: int = Field(0, ge=0)
    gpu_type: str | None = None
    retries: int = Field(0, ge=0, le=10)
    retry_seconds: int = Field(60, ge=0, le=3600)
    timeout_minutes: float | None = Field(None, gt=0)
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    volumes: tuple[Volume, ...] = ()
    scratch: Scratch | None = None
    pull_secrets: tuple[KubernetesName, ...] = ()
    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = ""

    def kubernetes_only(self) -> list[str]:
        """Names of the settings that were given and that only Kubernetes has."""
        names = ("timeout_minutes", "node_selector", "tolerations", "volumes", "scratch", "pull_secrets", "pull_policy")
        return [name for name in names if getattr(self, name)]


def quantity(text: str) -> float:
    """Returns the bytes of a quantity of memory or disk, such as `8Gi`."""
    number = text.rstrip("MGTi")
    return float(number) * UNITS[text[len(number) :]]


class SecretKey(Settings):
    """A value that a Kubernetes secret holds.

    Attributes:
        secret: its name.
        key: of the value in it.
    """

    secret: KubernetesName
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$")]


class AccessSettings(Settings):
    """How to reach Kubeflow's API server and to log in there, besides KUBEFLOW_TOKEN and KUBEFLOW_COOKIE.

    Attributes:
        kube_context: of a kubeconfig file: requests go through Kubernetes' own API server, with its credentials.
        token_file: holds a bearer token, for instance of a Kubernetes service account.
        ca_file: certificates of the authorities that are trusted, in PEM.
    """

    kube_context: str = ""
    token_file: str = ""
    ca_file: str = ""


class DeploymentSettings(Settings):
    """Where and how a cluster runs the pipeline.

    Attributes:
        image: container image with this project and its dependencies.
        pipeline_root: folder for the artifacts of every run: `gs://`, and on Kubeflow `s3://` or `minio://`, too.
        data: ratings as containers find them: a file or folder in such a store, or a path that is mounted in them.
        serving_dir: where models are pushed to, a folder in such a store or a mounted one; by default
            `serving_models` in the pipeline root.
        project_dir: folder of this project in the image.
        resources: by name of a step; `default` is for those that are not named.
        beam: arguments of the steps on Beam, for Dataflow or Flink; by default each runs in its own container.
        service_account: that the steps run as; a Kubernetes one for Kubeflow, the email of Google Cloud's for Vertex.
        env: environment variables of every step, such as `AWS_ENDPOINT_URL`; no secrets, which anybody could read in
            the compiled file.
        secret_env: environment variables of every step whose values are in Kubernetes secrets, such as
            `AWS_ACCESS_KEY_ID: {secret: mlpipeline-minio-artifact, key: accesskey}`; for Kubeflow alone.
        labels: of the job on Vertex, of every step's pod on Kubeflow.
        notify: whether a last task, which runs whatever became of the others, posts how the run ended to the webhook
            whose URL is the environment variable `OUTCOME_WEBHOOK` (of `env`, or better of `secret_env`).
        cache: whether the engine may take results of earlier runs. It knows data by its path alone, so that only
            those whose paths never change their content should turn it on.
        host: address of Kubeflow Pipelines, for submissions.
        access: how to log in to Kubeflow Pipelines.
        experiment: groups runs in Kubeflow Pipelines, by default under the pipeline's name; on Vertex the name of an
            experiment in Vertex AI Experiments, by default none.
        namespace: of a Kubeflow that many share.
        project: of Google Cloud, for submissions to Vertex.
        region: likewise.
        network: of Google Cloud, with which Vertex peers the steps, such as `projects/NUMBER/global/networks/NAME`.
        encryption_key: of Cloud KMS, with which Vertex encrypts the run and its artifacts.
    """

    image: str = ""
    pipeline_root: str = ""
    data: str = ""
    serving_dir: str = ""
    project_dir: str = "/app"
    resources: dict[str, StepResources] = {}
    beam: tuple[Annotated[str, StringConstraints(pattern="^--[a-z]")], ...] = ()
    service_account: str = ""
    env: dict[VariableName, str] = {}
    secret_env: dict[VariableName, SecretKey] = {}
    labels: dict[LabelText, LabelText] = {}
    notify: bool = False
    cache: bool = False
    host: str = ""
    access: AccessSettings = AccessSettings()
    experiment: str = ""
    namespace: str = ""
    project: str = ""
    region: str = ""
    network: str = ""
    encryption_key: str = ""

    @field_validator("resources")
    @classmethod
    def _resources_are_of_steps(cls, resources: dict[str, StepResources]) -> dict[str, StepResources]:
        for step, wanted in resources.items():
            if step not in (EVERY_STEP, *STEPS):
                raise ValueError(f"there is no step {step}; there are {', '.join((EVERY_STEP, *STEPS))}")
            if wanted.gpu and step not in GPU_STEPS:
                raise ValueError(
                    f"a GPU is of no use to {step}; give it to {', '.join(GPU_STEPS[:-1])} or {GPU_STEPS[-1]}"
                )
        return resources

    def of_step(self, step: str) -> StepResources:
        """The resources of a step: its own, and the default ones for what it does not name."""
        default, own = (self.resources.get(name, StepResources()) for name in (EVERY_STEP, step))
        return default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    def in_place(self, engine: Engine) -> bool:
        """Whether steps read and write artifacts where they are, and not copies that Kubeflow's launcher makes."""
        return engine == "vertex" or bool(self.beam)

    def models_folder(self) -> str:
        """Where models are pushed to."""
        return self.serving_dir or f"{self.pipeline_root.rstrip('/')}/serving_models"

    def blessed_record(self, pipeline: str) -> str:
        """The file that names the last blessed model of a pipeline."""
        return f"{self.pipeline_root.rstrip('/')}/{pipeline}/last_blessed_model"

    def statistics_record(self, pipeline: str) -> str:
        """The file that names the statistics of the last run of a pipeline."""
        return f"{self.pipeline_root.rstrip('/')}/{pipeline}/last_statistics"


def complaints(settings: DeploymentSettings, engine: Engine, pipeline: str) -> list[str]:
    """What is wrong with settings for an engine, one line each, options as a person gives them."""
    found = []
    if not settings.image:
        found.append("--image is missing: the container image that holds this project, such as REGISTRY/recommender:1")
    elif not _IMAGE.fullmatch(settings.image):
        found.append(f"--image {settings.image}: not the name of a container image, such as REGISTRY/recommender:1")
    if not settings.pipeline_root:
        found.append("--pipeline-root is missing: a folder for artifacts, such as gs://BUCKET/pipelines")
    elif not _BUCKET.fullmatch(settings.pipeline_root):
        found.append(f"--pipeline-root {settings.pipeline_root}: expected a URI such as gs://BUCKET/pipelines")
    elif set("*?[\\") & set(settings.pipeline_root):
        found.append(f"--pipeline-root {settings.pipeline_root}: the steps take *, ?, [ and \\ for patterns; leave out")
    elif not settings.pipeline_root.startswith(IN_PLACE) and engine == "vertex":
        found.append(f"--pipeline-root {settings.pipeline_root}: Vertex AI keeps artifacts in gs:// alone")
    elif not settings.pipeline_root.startswith(IN_PLACE) and settings.beam:
        found.append(
            f"deployment.beam with --pipeline-root {settings.pipeline_root}: other machines see no artifacts of it, "
            "which each step has on its own disk; take a gs:// root, or leave Beam in the containers"
        )
    if not settings.data:
        found.append("--data is missing: ratings as the containers see them, such as gs://BUCKET/ml-1m.zip")
    for flag, place in (("--data", settings.data), ("--serving-dir", settings.serving_dir)):
        if place and not place.startswith("/") and not _BUCKET.fullmatch(place):
            found.append(f"{flag} {place}: expected a URI such as gs:// or s3://BUCKET/folder, or an absolute path")
    found += _environment_complaints(settings, engine)
    if engine == "vertex" and not pipeline[:1].isalpha():
        found.append(f"name {pipeline}: Vertex AI's jobs begin with a letter; give another --name")
    if "_" in pipeline:
        found.append(f"name {pipeline}: a cluster's pipeline takes '-' in place of '_'; give another --name")
    for step, wanted in settings.resources.items():
        key = f"deployment.resources.{step}"
        if wanted.gpu:
            found += _gpu_complaints(key, wanted, engine)
        found += _request_complaints(key, wanted)
        if engine == "vertex":
            found += [f"{key}.{name}: only Kubernetes has it, not Vertex AI" for name in wanted.kubernetes_only()]
    if engine == "kubeflow":
        for name in ("network", "encryption_key"):
            if getattr(settings, name):
                found.append(f"deployment.{name}: only Vertex AI has it, not Kubeflow")
    return found


def _request_complaints(key: str, wanted: StepResources) -> list[str]:
    """Requests above their limits, which Kubernetes refuses."""
    found = []
    if wanted.cpu and wanted.cpu_request and wanted.cpu_request > wanted.cpu:
        found.append(f"{key}.cpu_request {wanted.cpu_request:g}: over cpu, which is {wanted.cpu:g}")
    if wanted.memory and wanted.memory_request and quantity(wanted.memory_request) > quantity(wanted.memory):
        found.append(f"{key}.memory_request {wanted.memory_request}: over memory, which is {wanted.memory}")
    return found


def _environment_complaints(settings: DeploymentSettings, engine: Engine) -> list[str]:
    found = []
    if settings.secret_env and engine == "vertex":
        found.append("deployment.secret_env: Vertex AI has no Kubernetes secrets; give rights to --service-account")
    if settings.notify and WEBHOOK not in {*settings.env, *settings.secret_env}:
        found.append(f"deployment.notify: to which URL? give it as {WEBHOOK} in deployment.secret_env or .env")
    if twice := sorted(set(settings.env) & set(settings.secret_env)):
        found.append(f"deployment.secret_env.{twice[0]}: is in deployment.env, too; leave it in one")
    places = {"--pipeline-root": settings.pipeline_root, "--data": settings.data, "--serving-dir": settings.serving_dir}
    of_minio = [f"{flag} {place}" for flag, place in places.items() if place.startswith(MINIO)]
    if of_minio and not set(ENDPOINTS) & {*settings.env, *settings.secret_env}:
        found.append(
            f"{of_minio[0]}: the steps must know where that store is; such as "
            "--set deployment.env.AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:9000"
        )
    return found


def _gpu_complaints(key: str, wanted: StepResources, engine: Engine) -> list[str]:
    if engine == "kubeflow":
        if "/" in (wanted.gpu_type or KUBERNETES_GPU):
            return []
        return [f"{key}.gpu_type {wanted.gpu_type}: Kubeflow names GPUs as Kubernetes does, such as {KUBERNETES_GPU}"]
    if wanted.gpu_type not in VERTEX_GPUS:
        return [f"{key}.gpu_type {wanted.gpu_type or 'is missing'}: Vertex AI has {', '.join(VERTEX_GPUS)}"]
    if wanted.gpu not in VERTEX_GPU_COUNTS:
        return [f"{key}.gpu {wanted.gpu}: Vertex AI attaches {', '.join(map(str, VERTEX_GPU_COUNTS))} GPUs to a step"]
    return []
