"""The base class of settings, and the names of environment variables of steps on a cluster."""

from pydantic import BaseModel, ConfigDict

# Environment variables of a step's container on a cluster.
GPUS = "REQUESTED_GPUS"  # number of requested GPUs
STEP = "PIPELINE_STEP"  # name of the step
COMPILED_CODE = "COMPILED_CODE"  # fingerprint of the code from which the pipeline was compiled
ARTIFACTS_IN_PLACE = "ARTIFACTS_IN_PLACE"  # set if steps read and write artifacts directly, without local copies
WEBHOOK = "OUTCOME_WEBHOOK"  # URL that is notified when a run ends


class Settings(BaseModel):
    """Base class of the settings of a step, which are typed and immutable. An unknown key is an error.

    A number is accepted as text, such as the kind of an interaction.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True)
