"""Settings of the Trainer."""

from typing import Literal

from pydantic import Field

from components.settings import Settings

EncoderName = Literal["bow", "cnn", "lstm", "transformer"]


class TrainerSettings(Settings):
    """The model and how it is fitted.

    Attributes:
        encoder: what makes a context vector of a history.
        dimension: size of item embeddings and context vectors.
        blocks: number of layers of the `cnn`, `lstm` and `transformer` encoders.
        heads: attention heads of the `transformer`.
        dropout: share of activations dropped in training.
        item_features: item features added to an item's embedding.
        loss: `full_softmax` over the catalogue, or `sampled_softmax` with a log-Q correction.
        negatives: sampled negatives a step, shared by its batch; `sampled_softmax` alone.
        negative_power: negatives are drawn in proportion to an item's train events to this power; 0 is uniform.
        batch_positions: supervised positions a step; a batch holds as many windows as fit.
        window: longest piece of a timeline that is trained on at once.
        learning_rate: peak of the schedule.
        max_epochs: most passes over the train split.
        max_minutes: most minutes of fitting; the learning rate decays to end by then.
        patience: epochs without a better Recall@10 on the eval split before fitting stops.
        top_k: how many items the model returns.
        seed: of initial weights, windows, dropout and negatives.
    """

    encoder: EncoderName = "transformer"
    dimension: int = Field(64, ge=4, le=1024)
    blocks: int = Field(2, ge=1, le=12)
    heads: int = Field(2, ge=1, le=16)
    dropout: float = Field(0.2, ge=0, lt=1)
    item_features: tuple[Literal["genres", "year"], ...] = ("genres", "year")
    loss: Literal["full_softmax", "sampled_softmax"] = "full_softmax"
    negatives: int = Field(512, ge=1)
    negative_power: float = Field(0.0, ge=0, le=1)
    batch_positions: int = Field(3200, ge=1)
    window: int = Field(200, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    max_epochs: int = Field(12, ge=1)
    max_minutes: float = Field(6.0, gt=0)
    patience: int = Field(5, ge=1)
    top_k: int = Field(100, ge=1)
    seed: int = 1
