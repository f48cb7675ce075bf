"""Settings of the Trainer."""

from __future__ import annotations

import collections
from typing import Any, Literal

from pydantic import Field, field_validator

from components.features import activity_input
from components.settings import Settings

EncoderName = Literal["bow", "cnn", "lstm", "transformer"]
LossName = Literal["full_softmax", "sampled_softmax", "in_batch_softmax", "gbce"]


class MemberSettings(Settings):
    """Settings of a further member of the model; `TrainerSettings` describes the settings of the same names.

    Attributes:
        joint: whether this member and the one before it are trained together, with one loss for the sum of their
            scores. They then complement each other: a short look back learns which items follow the last ones, a long
            one learns the user's taste (like the two terms of FPMC: Rendle, Freudenthaler and Schmidt-Thieme, WWW
            2010). Otherwise, the member has its own loss, and its scores are averaged with those of other members.
        encoder, blocks, heads, dropout, look_back, transition: as in the section `trainer`; null: the value there.
    """

    joint: bool = False
    encoder: EncoderName | None = None
    blocks: int | None = Field(None, ge=1, le=12)
    heads: int | None = Field(None, ge=1, le=16)
    dropout: float | None = Field(None, ge=0, lt=1)
    look_back: int | None = Field(None, ge=1, le=1000)
    transition: bool | None = None


# Limits in `TrainerSettings.for_data`. For scale, two CPU cores train 40,000 positions per second with 3,400 items.
MIN_EPOCHS = 2
MAX_POSITIONS = 60_000_000  # per fit
MAX_FULL_LOGITS, MAX_FULL_LOGITS_PER_STEP = 100_000_000_000, 100_000_000  # with `full_softmax`
ITEMS_PER_NEGATIVE, MIN_NEGATIVES, MAX_NEGATIVES = 40, 512, 4096
MAX_RANKED_SCORES, MIN_EVAL_USERS = 1_000_000_000, 1000

MAX_GAIN = 20  # far below the penalty of excluded items

SHORT_TERM = MemberSettings(encoder="cnn", look_back=3, joint=True, transition=False)
# With few positions per item, a model overfits the parameters of single items. Members then have one table each, more
# dropout, and more but smaller steps. Averaging the scores of two equal members improves the results on all sparse logs
# of docs/training.md, which has the measurements.
SPARSE_BELOW = 100  # positions per item
SPARSE: dict[str, Any] = {
    "members": (MemberSettings(),),
    "similar_items": 10,
    "transition": False,
    "dropout": 0.3,
    "learning_rate": 2e-3,
    "batch_positions": 1600,
}
DENSE: dict[str, Any] = {
    "members": (SHORT_TERM,),
    "similar_items": 0,
    "transition": True,
    "dropout": 0.25,
    "learning_rate": 3e-3,
    "batch_positions": 3200,
}
SPARSE_EPOCHS, DENSE_EPOCHS = 16, 12
# With similar items, a fit needs fewer epochs: as many as this number of positions takes, but at least this minimum.
SIMILAR_POSITIONS, MIN_SIMILAR_EPOCHS = 1_100_000, 8


class TrainerSettings(Settings):
    """Settings of the model and its training.

    Some settings are unset if they are null, `auto` or 0, as their descriptions say: the Trainer computes them from the
    data. "Positions per item" is the number of interactions in the train split, without each user's first,
    divided by the number of items.

    Attributes:
        encoder: kind of the network that computes a context vector from a history.
        dimension: size of context vectors, and of item embeddings unless `item_dimension` is set.
        item_dimension: size of the stored item embeddings; null: `dimension`. If the sizes differ, one linear layer
            maps embeddings to `dimension`, and another maps context vectors back (the factorised embedding of ALBERT:
            Lan et al., ICLR 2020). A smaller size reduces only the tables, which for a large catalogue account for most
            of the file size and response time.
        look_back: number of activities that `bow`, `cnn` and `transformer` look back on; null: the entire history.
        members: further members, trained together with this one. The scores of `joint` members are added, those of
            others are averaged. null: from 100 positions per item, a joint convolution over the last three activities;
            below, one more member like this one.
        blocks: number of layers of the `cnn`, `lstm` and `transformer` encoders.
        heads: number of attention heads of the `transformer`.
        upper_look_back: number of activities that the blocks of the `transformer` after the first look back on; null:
            as many as the first. A lower number makes recommendations on the device faster.
        dropout: share of activations dropped in training (Srivastava et al., JMLR 2014). null: 0.25 from 100 positions
            per item, 0.3 below.
        item_features: features of items, added to their embeddings: `genres`, `year`, and other columns of your own
            items file. `genres` and `year` are ignored if no item has them; any other feature must exist.
        item_dropout: share of items that are represented only by their features, drawn in every training step.
        similar_items: number of similar items whose mean embedding is added to the embedding of each item. Similar
            items occur near each other in timelines. This helps items with few interactions, lengthens a training step
            by about a tenth, and costs nothing on the device. null: 10 if there are fewer than 100 positions per item
            and a fit with `full_softmax` takes at most a few minutes, otherwise 0.
        transition: whether items in histories have one more embedding, added to the one that they have as candidates.
            null: only from 100 positions per item.
        activity_features: features of a user's activities, added to the embeddings of their items: `rating`;
            `time_gap`, the time since the previous activity; and any other column of the log by its name, with words
            or numbers, such as `event_type`, `device`, `hour` or `price`. The device sends them with the history.
        activity_dropout: share of training histories that lose a feature, and share of activities that lose it in the
            other histories; drawn for each feature separately. It prepares the model for missing values.
        min_target_rating: activities with a lower rating are part of histories, but are no targets; null: no limit.
        target_weight: weights of targets in the loss: `equal`; or `rating`, in proportion to the rating (after Hu,
            Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008).
        loss: `full_softmax` over the catalogue; `sampled_softmax` or `in_batch_softmax`, with a log-Q correction; or
            `gbce`, a calibrated binary loss. See `losses.py`. The time of a step with `full_softmax` is proportional to
            the size of the catalogue. `auto`: `full_softmax` if a fit with it takes at most a few minutes, otherwise
            `sampled_softmax`.
        repeats: treatment of items that the history contains. `recommend` recommends them, for example groceries that
            are bought again; `keep` keeps them in histories but does not recommend them, for example films that are
            watched once; `drop` makes ExampleGen keep one occurrence of each item in a timeline. `auto`: `recommend`
            if repeats are at least 5 % of the targets in the train split, otherwise `keep`. Training, evaluation
            and the device use the same choice.
        repeat_gain: added to the scores of items of the history if repeats are recommended. null: after the fit, the
            gain of 0, 1, 2 or 4 with the best Recall@10 on the eval split is chosen.
        unseen_compete_alone: whether, in training, only items that did not occur earlier in the window compete with a
            target, as in serving; targets that occurred earlier then have no weight. No effect if repeats are
            recommended.
        label_smoothing: share of a target's probability that is spread over all items; `full_softmax` only, and not
            with a teacher.
        teacher_weight: share of a target's probability that goes to the teacher's items, with a section `teacher` in
            the configuration; `full_softmax` only.
        teacher_temperature: divisor of the teacher's scores; above 1, its probabilities become more alike.
        teacher_items: number of items that the teacher predicts at a position.
        negatives: number of sampled negatives per training step; `sampled_softmax` and `gbce` only. 0: one for every 40
            items of the catalogue, but from 512 to 4,096; with fewer, the model hardly distinguishes similar items.
        negative_power: negatives are drawn in proportion to the number of an item's train events to this power; 0:
            uniformly. `sampled_softmax` only.
        gbce_calibration: degree of correction for sampling, from 0 to 1; `gbce` only.
        batch_positions: number of positions per training step, padding included; a batch has as many windows as fit.
            null: 3,200 from 100 positions per item, 1,600 below.
        window: maximum number of positions in a window, which is a piece of a timeline.
        learning_rate: peak of the learning rate schedule. null: 0.003 from 100 positions per item, 0.002 below.
        warm_start: whether a fit starts from the weights of the last blessed model, in the middle of the schedule,
            which halves the number of epochs. It uses the model that was evaluated, not the refitted one, which was
            trained on interactions that may be held out now.
        max_epochs: maximum number of passes over the train split. 0: 12 from 100 positions per item, 16 below, and
            fewer for a large log; with similar items, 8 to 16, for about 1.1 million positions in all.
        max_minutes: time limit in minutes, for safety; it does not change the schedule. 0: no limit. If it ends a fit,
            the result depends on the speed of the machine.
        patience: number of epochs without a better Recall@10 on the eval split after which the fit stops.
        top_k: number of items that the model returns.
        eval_users: number of users of the eval split, drawn once, for the evaluation after each epoch. 0: as many as
            can be ranked in a few seconds (all users of MovieLens 1M).
        jit_compile: whether XLA compiles the training step, once for each of five window lengths, which takes half a
            minute. On a CPU, the default model is slower with it: docs/training.md has figures. Each step then uses
            the entire tables, which is slow for a large catalogue.
        mixed_precision: whether encoders compute in bfloat16 in training; weights, losses, evaluation and the saved
            model stay float32. docs/training.md has figures.
        seed: seed of initial weights, windows, dropout and negatives.
    """

    encoder: EncoderName = "transformer"
    dimension: int = Field(64, ge=4, le=1024)
    item_dimension: int | None = Field(None, ge=4, le=1024)
    look_back: int | None = Field(None, ge=1, le=1000)
    members: tuple[MemberSettings, ...] | None = Field(None, max_length=15)
    blocks: int = Field(2, ge=1, le=12)
    heads: int = Field(2, ge=1, le=16)
    upper_look_back: int | None = Field(16, ge=1)
    dropout: float | None = Field(None, ge=0, lt=1)
    item_features: tuple[str, ...] = ("genres", "year")
    item_dropout: float = Field(0.0, ge=0, lt=1)
    similar_items: int | None = Field(None, ge=0, le=100)
    transition: bool | None = None
    activity_features: tuple[str, ...] = ()
    activity_dropout: float = Field(0.1, ge=0, lt=1)
    min_target_rating: float | None = None
    target_weight: Literal["equal", "rating"] = "equal"
    loss: LossName | Literal["auto"] = "auto"
    repeats: Literal["auto", "drop", "keep", "recommend"] = "auto"
    repeat_gain: float | None = Field(None, ge=0, le=MAX_GAIN)
    unseen_compete_alone: bool = True
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    teacher_weight: float = Field(0.5, ge=0, le=1)
    teacher_temperature: float = Field(1.0, gt=0)
    teacher_items: int = Field(50, ge=1)
    negatives: int = Field(0, ge=0)
    negative_power: float = Field(0.0, ge=0, le=1)
    gbce_calibration: float = Field(0.75, ge=0, le=1)
    batch_positions: int | None = Field(None, ge=1)
    window: int = Field(200, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    warm_start: bool = False
    max_epochs: int = Field(0, ge=0)
    max_minutes: float = Field(0.0, ge=0)
    patience: int = Field(5, ge=1)
    top_k: int = Field(100, ge=1)
    eval_users: int = Field(0, ge=0)
    jit_compile: bool = False
    mixed_precision: bool = False
    seed: int = 1

    @field_validator("activity_features")
    @classmethod
    def _inputs_differ(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        inputs = collections.Counter(map(activity_input, names))
        if repeated := [name for name in names if inputs[activity_input(name)] > 1]:
            raise ValueError(f"names {', '.join(map(repr, repeated))}, which would share one input of the model")
        return names

    @property
    def table_dimension(self) -> int:
        """Size of the stored item embeddings."""
        return self.item_dimension or self.dimension

    @property
    def recommends_seen(self) -> bool:
        """Whether repeats are recommended; False for `auto`, which `decisions.decide_repeats` replaces."""
        return self.repeats == "recommend"

    @property
    def takes_rows(self) -> bool:
        """Whether a training step uses only the rows of the tables that its batch needs."""
        return self.loss not in ("full_softmax", "auto") and not self.jit_compile

    def for_data(self, items: int, positions: int, users: int) -> TrainerSettings:
        """Returns the settings with the unset ones, except those of repeats, computed from the size of the data.

        Args:
            items: number of items with an index.
            positions: number of positions in an epoch.
            users: number of users in the eval split.
        """
        is_sparse = positions < SPARSE_BELOW * items
        most_epochs = SPARSE_EPOCHS if is_sparse else DENSE_EPOCHS
        epochs = self.max_epochs or min(max(round(MAX_POSITIONS / max(positions, 1)), MIN_EPOCHS), most_epochs)
        settings = self._with_defaults(SPARSE if is_sparse else DENSE)
        step_logits = items * (settings.batch_positions or 0)
        is_affordable = items * positions * epochs <= MAX_FULL_LOGITS and step_logits <= MAX_FULL_LOGITS_PER_STEP
        loss = ("full_softmax" if is_affordable else "sampled_softmax") if self.loss == "auto" else self.loss
        eval_users = self.eval_users or min(users, max(MAX_RANKED_SCORES // max(items, 1), MIN_EVAL_USERS))
        negatives = self.negatives or min(max(items // ITEMS_PER_NEGATIVE, MIN_NEGATIVES), MAX_NEGATIVES)
        similar = settings.similar_items
        if self.similar_items is None and not (loss == "full_softmax" and is_affordable):
            similar = 0
        if similar and is_sparse and not self.max_epochs:
            epochs = min(epochs, max(round(SIMILAR_POSITIONS / max(positions, 1)), MIN_SIMILAR_EPOCHS))
        decided = {"loss": loss, "negatives": negatives, "max_epochs": epochs, "eval_users": eval_users}
        return settings.model_copy(update={**decided, "similar_items": similar})

    def decided(self) -> TrainerSettings:
        """Returns the settings with the unset ones that a model needs set as for small, dense data."""
        decided: dict[str, Any] = {"loss": "full_softmax"} if self.loss == "auto" else {}
        decided |= {} if self.negatives else {"negatives": MIN_NEGATIVES}
        return self._with_defaults(DENSE).model_copy(update=decided)

    def _with_defaults(self, defaults: dict[str, Any]) -> TrainerSettings:
        """Returns the settings with the given defaults in place of None."""
        return self.model_copy(update={name: value for name, value in defaults.items() if getattr(self, name) is None})

    def all_members(self) -> list[TrainerSettings]:
        """Returns the settings of all members, starting with this one; see `TrainerSettings.members`."""
        changes = [member.model_dump(exclude_none=True, exclude={"joint"}) for member in self._members()]
        return [self.model_copy(update=change) for change in [{}, *changes]]

    def _members(self) -> tuple[MemberSettings, ...]:
        members: tuple[MemberSettings, ...] = DENSE["members"] if self.members is None else self.members
        return members

    def group_sizes(self) -> list[int]:
        """Returns the number of members in each group that is trained jointly."""
        sizes = [1]
        for member in self._members():
            if member.joint:
                sizes[-1] += 1
            else:
                sizes.append(1)
        return sizes


def top_k_complaint(top_k: int, items: int) -> str:
    """Returns an error message, one line, if `top_k` is over the number of items; otherwise an empty string."""
    if top_k <= items:
        return ""
    return f"trainer.top_k {top_k:,} is over the catalogue of {items:,} items; choose {items:,} or less"
