"""What every step's settings have in common: typed, immutable, and a misspelt key is an error."""

from pydantic import BaseModel, ConfigDict

# Environment variables of a step's container on a cluster.
GPUS = "REQUESTED_GPUS"  # how many GPUs it was given
STEP = "PIPELINE_STEP"  # the name of the step
COMPILED_CODE = "COMPILED_CODE"  # fingerprint of the code that the pipeline was compiled from
ARTIFACTS_IN_PLACE = "ARTIFACTS_IN_PLACE"  # set where steps read and write artifacts, not copies of them
WEBHOOK = "OUTCOME_WEBHOOK"  # URL that hears how a run ended


class Settings(BaseModel):
    """Base class of the settings of a step."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
