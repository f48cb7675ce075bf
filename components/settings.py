"""What every step's settings have in common: typed, immutable, and a misspelt key is an error."""

from pydantic import BaseModel, ConfigDict

GPUS = "REQUESTED_GPUS"  # environment variable of a container: how many GPUs it was given


class Settings(BaseModel):
    """Base class of the settings of a step."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
