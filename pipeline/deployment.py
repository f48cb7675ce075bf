"""The `deployment` section of the configuration: where and how a cluster runs the pipeline.

This module imports neither TensorFlow nor TFX, so that errors appear immediately.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator

from components.settings import Settings
from pipeline.steps import REFIT, STEPS, TRAINER, TUNER

Engine = Literal["kubeflow", "vertex"]
LabelText = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$")]
KubernetesName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _quantity(text: Any) -> Any:
    if text is not None and not re.fullmatch(r"[0-9]+(\.[0-9]+)?[MGT]i?", str(text)):
        raise ValueError("expected a number and a unit, such as 8Gi or 500M")
    return text


Quantity = Annotated[str, BeforeValidator(_quantity)]

# Units of memory and disk, in bytes.
UNITS = {"M": 1e6, "G": 1e9, "T": 1e12, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
GPU_STEPS = (TRAINER, TUNER, REFIT)
EVERY_STEP = "default"
KUBERNETES_GPU = "nvidia.com/gpu"


class Toleration(Settings):
    """A Kubernetes toleration of a step's pod.

    Attributes:
        key: key of the taint; empty for every taint.
        operator: `Exists`, or `Equal` to `value`.
        value: value of the taint.
        effect: effect of the taint; empty for every effect.
        seconds: number of seconds that a running pod stays on a node that gets the taint; None for no limit.
    """

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    seconds: int | None = Field(None, ge=0)


class Volume(Settings):
    """A PersistentVolumeClaim that is mounted in a step's container.

    Attributes:
        claim: name of the claim.
        path: where it is mounted.
        sub_path: folder of the volume to mount; empty for the entire volume.
    """

    claim: KubernetesName
    path: Annotated[str, StringConstraints(pattern=r"^/.+$")]
    sub_path: str = ""


class Scratch(Settings):
    """A disk for the temporary files of a step, which Kubernetes creates and deletes with the pod.

    Attributes:
        size: size, such as `50Gi`.
        storage_class: storage class of Kubernetes; empty for the default.
        path: where it is mounted.
    """

    size: Quantity
    storage_class: str = ""
    path: Annotated[str, StringConstraints(pattern=r"^/.+$")] = "/tmp"


class StepResources(Settings):
    """Resources of a step's container, and the nodes it may run on.

    Attributes:
        cpu: maximum number of cores.
        memory: maximum memory, such as `8Gi` or `500M`.
        cpu_request: cores that a node must have free; None: as many as `cpu`.
        memory_request: memory that a node must have free; None: as much as `memory`.
        gpu: number of GPUs; only for the Trainer, the Tuner and Refit.
        gpu_type: for Kubeflow a Kubernetes resource (default `nvidia.com/gpu`); for Vertex AI the name of a GPU, such
            as `NVIDIA_TESLA_T4`.
        retries: maximum number of retries of a failed step. The Trainer resumes after its last epoch.
        retry_seconds: pause before the first retry; doubled for each further one.
        timeout_minutes: time limit, after which Kubernetes stops the step's pod; Kubeflow only, like all keys below.
        node_selector: labels of the nodes on which the step may run.
        tolerations: taints of nodes that the step's pod tolerates.
        volumes: claims to mount, for example the one with the log.
        scratch: disk for temporary files.
        pull_secrets: Kubernetes secrets with the credentials of the image's registry.
        pull_policy: pull policy of the image: `Always`, `IfNotPresent` or `Never`. Empty for the default of Kubernetes,
            which does not pull a tag again that the node has.
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


def quantity(text: str) -> float:
    """Returns the number of bytes in a quantity of memory or disk, such as `8Gi`."""
    number = text.rstrip("MGTi")
    return float(number) * UNITS[text[len(number) :]]


class SecretKey(Settings):
    """A value in a Kubernetes secret.

    Attributes:
        secret: name of the secret.
        key: key of the value in the secret.
    """

    secret: KubernetesName
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$")]


class AccessSettings(Settings):
    """Ways to reach and log in to Kubeflow's API server, besides KUBEFLOW_TOKEN and KUBEFLOW_COOKIE.

    Attributes:
        kube_context: context of a kubeconfig file; requests go through the Kubernetes API server, with its credentials.
        token_file: file with a bearer token, for example of a Kubernetes service account.
        ca_file: PEM file with the certificates of the trusted authorities.
    """

    kube_context: str = ""
    token_file: str = ""
    ca_file: str = ""


class DeploymentSettings(Settings):
    """Where and how a cluster runs the pipeline.

    Attributes:
        image: container image with this project and its dependencies.
        pipeline_root: folder for the artifacts of every run: `gs://`, or on Kubeflow also `s3://` or `minio://`.
        data: the log as the containers see it: a file or folder in such a store, or a mounted path.
        serving_dir: folder that models are pushed to, in such a store or mounted; by default `serving_models` in the
            pipeline root.
        project_dir: folder of this project in the image.
        resources: resources by step; `default` is for all other steps.
        beam: arguments for Beam, to run steps on Dataflow or Flink; by default each step on Beam runs in its own
            container.
        service_account: account of the steps: a Kubernetes service account for Kubeflow, the email of a Google Cloud
            service account for Vertex.
        env: environment variables of every step, such as `AWS_ENDPOINT_URL`. Do not put secrets here: the compiled file
            shows them.
        secret_env: environment variables of every step with values from Kubernetes secrets, such as
            `AWS_ACCESS_KEY_ID: {secret: mlpipeline-minio-artifact, key: accesskey}`; Kubeflow only.
        labels: labels of the job on Vertex, or of every step's pod on Kubeflow.
        notify: whether a last task, which runs even if other tasks fail, posts the outcome of the run to a webhook. The
            webhook's URL is the environment variable `OUTCOME_WEBHOOK`, from `env` or preferably `secret_env`.
        cache: whether the engine may reuse results of earlier runs. The engine identifies data only by its path: turn
            the cache on only if the content of a path never changes.
        host: URL of Kubeflow Pipelines, for submissions.
        access: how to log in to Kubeflow Pipelines.
        experiment: experiment that groups the runs in Kubeflow Pipelines, by default the pipeline's name; on Vertex an
            experiment in Vertex AI Experiments, by default none.
        namespace: namespace in a Kubeflow with several users.
        project: project of Google Cloud, for submissions to Vertex.
        region: region of Google Cloud, for submissions to Vertex.
        network: network of Google Cloud that Vertex peers with the steps, such as
            `projects/NUMBER/global/networks/NAME`.
        encryption_key: Cloud KMS key with which Vertex encrypts the run and its artifacts.
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
        for step, step_resources in resources.items():
            if step not in (EVERY_STEP, *STEPS):
                raise ValueError(f"unknown step {step}; the steps are {', '.join((EVERY_STEP, *STEPS))}")
            if step_resources.gpu and step not in GPU_STEPS:
                raise ValueError(f"no GPU for {step}: only {', '.join(GPU_STEPS[:-1])} and {GPU_STEPS[-1]} can use one")
        return resources

    def of_step(self, step: str) -> StepResources:
        """Returns the resources of a step: its own settings, and the settings of `default` for the rest."""
        default, own = (self.resources.get(name, StepResources()) for name in (EVERY_STEP, step))
        return default.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
