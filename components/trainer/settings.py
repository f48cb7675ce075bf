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
    """A further model; what is None is as in the `TrainerSettings`, which describe the names.

    Attributes:
        joint: whether it and the model before it are trained as one, by one loss of the sum of their scores. Each then
            learns what the other leaves over: a short look back what follows the last items, a long one a taste (as
            the two terms of FPMC: Rendle, Freudenthaler and Schmidt-Thieme, WWW 2010). Otherwise it has a loss of its
            own, and is one more of an ensemble.
        encoder, blocks, heads, dropout, look_back, transition: as in the section `trainer`; null takes the value there.
    """

    joint: bool = False
    encoder: EncoderName | None = None
    blocks: int | None = Field(None, ge=1, le=12)
    heads: int | None = Field(None, ge=1, le=16)
    dropout: float | None = Field(None, ge=0, lt=1)
    look_back: int | None = Field(None, ge=1, le=1000)
    transition: bool | None = None


# What `TrainerSettings.for_data` chooses by; on two cores 40,000 positions a second are trained with 3,400 items.
LEAST_EPOCHS = 2
TRAINED_POSITIONS = 60_000_000
FULL_LOGITS, FULL_LOGITS_OF_STEP = 100_000_000_000, 100_000_000
ITEMS_A_NEGATIVE, LEAST_NEGATIVES, MOST_NEGATIVES = 40, 512, 4096
RANKED_SCORES, LEAST_EVAL_USERS = 1_000_000_000, 1000

MOST_GAIN = 20  # far below the penalty of items that are left out

SHORT_TERM = MemberSettings(encoder="cnn", look_back=3, joint=True, transition=False)
# Where a catalogue has few positions an item, a model memorises parameters that belong to one item: each member has one
# table, and there are more dropout and more but smaller steps. Averaging the scores of two equal members pays on every
# sparse log that was tried. docs/training.md has the evidence.
SPARSE_BELOW = 100
SPARSE: dict[str, Any] = {
    "members": (MemberSettings(),),
    "transition": False,
    "dropout": 0.3,
    "learning_rate": 2e-3,
    "batch_positions": 1600,
}
DENSE: dict[str, Any] = {
    "members": (SHORT_TERM,),
    "transition": True,
    "dropout": 0.25,
    "learning_rate": 3e-3,
    "batch_positions": 3200,
}
SPARSE_EPOCHS, DENSE_EPOCHS = 16, 12


class TrainerSettings(Settings):
    """The model and how it is fitted.

    The data decides what is None or, where a setting's description says so, 0: see `for_data`. `positions an item` are
    the interactions of the train split, but each user's first, over the number of items.

    Attributes:
        encoder: what makes a context vector of a history.
        dimension: size of context vectors, and of item embeddings where `item_dimension` is None.
        item_dimension: size of item embeddings as they are stored, where it is another: a kernel makes vectors of
            `dimension` of them, another takes context vectors back (the factorised embedding of ALBERT: Lan et al.,
            ICLR 2020). The tables, which are most of the file of a large catalogue and of the time of an answer, are
            then as small as that, and the encoder is not.
        look_back: how many activities `bow`, `cnn` and `transformer` look back; None is all N.
        members: further models, trained beside the one described here: their scores add up where they are `joint`, and
            are averaged where not. None: a convolution over the last three activities, jointly, from 100 positions an
            item on; below, one more model like this one, averaged.
        blocks: number of layers of the `cnn`, `lstm` and `transformer` encoders.
        heads: attention heads of the `transformer`.
        upper_look_back: how many activities the blocks of the `transformer` after the first look back; None: as many as
            the first. The less, the faster the device answers.
        dropout: share of activations dropped in training (Srivastava et al., JMLR 2014). None: 0.25 from 100 positions
            an item on, 0.3 below.
        item_features: what is known of items, added to their embeddings: `genres`, `year`, and the other columns of an
            items file of one's own. The data may lack `genres` and `year`; any other name that no item has is an error.
        item_dropout: share of items that are known by their features alone, anew in every step.
        transition: whether items have an embedding of their own in histories, added to the one that labels have too.
            None: from 100 positions an item on.
        activity_features: what is known of a user's activities, added to the embeddings of their items: `rating`;
            `time_gap`, the time since the activity before; and any other column of the log by its name, with words or
            numbers, such as `event_type`, `device`, `hour` or `price`. The device sends them with the history.
        activity_dropout: share of the histories, and of the activities of the others, that lack a feature in training,
            drawn for each feature by itself, so that the model knows what to make of missing values.
        min_target_rating: ratings below it are part of the history, but not what the model learns to recommend.
        target_weight: `equal`, or `rating`: a target counts in training in proportion to its rating (after the
            confidences of Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008).
        loss: `full_softmax` over the catalogue; `sampled_softmax` and `in_batch_softmax`, with a log-Q correction; or
            `gbce`, a calibrated binary loss. See `losses.py`. A step of the last three costs no more with more items.
            `auto` is `full_softmax` where a fit with it takes some minutes, and `sampled_softmax` above.
        repeats: what an interaction means with an item that the user had before. `recommend` recommends such items, as
            groceries are bought again; `keep` never does, as films are watched once, but leaves them in histories;
            `drop` leaves an item in a timeline once, which ExampleGen does. `auto` recommends them where they are at
            least 5 % of the targets that come next in the train split, and keeps them elsewhere. Training, evaluation
            and the device follow the same choice.
        repeat_gain: what is added to the scores of items of the history, where repeats are recommended. Open, the value
            of 0, 1, 2 and 4 with the best Recall@10 on the eval split is taken after the fit.
        unseen_compete_alone: whether only items that the user has not had yet in the window compete with a target in
            training, as they do in serving; a target that came before in it then does not count. Without effect where
            repeats are recommended.
        label_smoothing: share of a target's probability that is spread over all items; `full_softmax` alone, and not
            with a teacher.
        teacher_weight: share of a target's probability that goes to the items that the teacher expects, where the
            configuration has a section `teacher`; `full_softmax` alone.
        teacher_temperature: the teacher's scores are divided by it.
        teacher_items: how many items the teacher names at a position.
        negatives: sampled negatives a step, shared by its batch; `sampled_softmax` and `gbce`. 0 takes one for every 40
            items of the catalogue, but from 512 to 4,096: with fewer, what is alike is hardly distinguished.
        negative_power: negatives are drawn in proportion to an item's train events to this power, 0 is uniform;
            `sampled_softmax` alone.
        gbce_calibration: how far sampling is made up for, from 0 to 1; `gbce` alone.
        batch_positions: supervised positions a step; a batch holds as many windows as fit. None: 3,200 from 100
            positions an item on, 1,600 below.
        window: longest piece of a timeline that is trained on at once.
        learning_rate: peak of the schedule. None: 0.003 from 100 positions an item on, 0.002 below.
        warm_start: whether fitting begins with the weights of the last blessed model, in the middle of the schedule,
            so that it takes half of the time. It takes the model that was evaluated, not the refitted one, which knows
            the interactions that may be held out now.
        max_epochs: most passes over the train split. 0 stands for 12 from 100 positions an item on and for 16 below,
            and for fewer where the log is large.
        max_minutes: a safety limit of fitting, which the schedule does not depend on; 0 sets none. When it strikes,
            another machine may get another model.
        patience: epochs without a better Recall@10 on the eval split before fitting stops.
        top_k: how many items the model returns.
        eval_users: how many users of the eval split, drawn once, each epoch is measured with; 0 takes as many as are
            ranked in some seconds, which are all users of MovieLens 1M.
        jit_compile: whether XLA compiles the training step, once for each of five lengths of windows, which takes half
            a minute. On a CPU the default's steps are slower with it: docs/training.md has figures. With
            it a step takes the whole tables, which is slow where they are large.
        mixed_precision: whether encoders compute in bfloat16 in training; weights, losses, evaluation and the saved
            model stay float32. docs/training.md has figures.
        seed: of initial weights, windows, dropout and negatives.
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
    transition: bool | None = None
    activity_features: tuple[str, ...] = ()
    activity_dropout: float = Field(0.1, ge=0, lt=1)
    min_target_rating: float | None = None
    target_weight: Literal["equal", "rating"] = "equal"
    loss: LossName | Literal["auto"] = "auto"
    repeats: Literal["auto", "drop", "keep", "recommend"] = "auto"
    repeat_gain: float | None = Field(None, ge=0, le=MOST_GAIN)
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
            raise ValueError(f"names {', '.join(map(repr, repeated))}, which would be one input of the model")
        return names

    @property
    def table_dimension(self) -> int:
        """Size of item embeddings as they are stored."""
        return self.item_dimension or self.dimension

    @property
    def recommends_seen(self) -> bool:
        """Whether items that a user had before are recommended; `auto` counts as `keep` until the data is known."""
        return self.repeats == "recommend"

    @property
    def takes_rows(self) -> bool:
        """Whether a training step takes the rows of the tables that its batch asks for, instead of all."""
        return self.loss not in ("full_softmax", "auto") and not self.jit_compile

    def for_data(self, items: int, positions: int, users: int) -> TrainerSettings:
        """Returns settings in which the size of the data has decided what they leave open.

        Args:
            items: that have an index.
            positions: of an epoch.
            users: of the eval split.
        """
        sparse = positions < SPARSE_BELOW * items
        most_epochs = SPARSE_EPOCHS if sparse else DENSE_EPOCHS
        epochs = self.max_epochs or min(max(round(TRAINED_POSITIONS / max(positions, 1)), LEAST_EPOCHS), most_epochs)
        settings = self._with(SPARSE if sparse else DENSE)
        logits_of_step = items * (settings.batch_positions or 0)
        affordable = items * positions * epochs <= FULL_LOGITS and logits_of_step <= FULL_LOGITS_OF_STEP
        loss = ("full_softmax" if affordable else "sampled_softmax") if self.loss == "auto" else self.loss
        eval_users = self.eval_users or min(users, max(RANKED_SCORES // max(items, 1), LEAST_EVAL_USERS))
        negatives = self.negatives or min(max(items // ITEMS_A_NEGATIVE, LEAST_NEGATIVES), MOST_NEGATIVES)
        chosen = {"loss": loss, "negatives": negatives, "max_epochs": epochs, "eval_users": eval_users}
        return settings.model_copy(update=chosen)

    def decided(self) -> TrainerSettings:
        """Returns settings that leave nothing open which a model needs, as for small and dense data."""
        undecided: dict[str, Any] = {"loss": "full_softmax"} if self.loss == "auto" else {}
        undecided |= {} if self.negatives else {"negatives": LEAST_NEGATIVES}
        return self._with(DENSE).model_copy(update=undecided)

    def _with(self, defaults: dict[str, Any]) -> TrainerSettings:
        """Returns settings that have a default wherever they have None."""
        return self.model_copy(update={name: value for name, value in defaults.items() if getattr(self, name) is None})

    def all_members(self) -> list[TrainerSettings]:
        """The settings of every member, this one first."""
        changes = [member.model_dump(exclude_none=True, exclude={"joint"}) for member in self._members()]
        return [self.model_copy(update=change) for change in [{}, *changes]]

    def _members(self) -> tuple[MemberSettings, ...]:
        members: tuple[MemberSettings, ...] = DENSE["members"] if self.members is None else self.members
        return members

    def group_sizes(self) -> list[int]:
        """How many members are trained as one, for each such group."""
        sizes = [1]
        for member in self._members():
            if member.joint:
                sizes[-1] += 1
            else:
                sizes.append(1)
        return sizes


def top_k_complaint(top_k: int, items: int) -> str:
    """Why a model cannot return that many items of a catalogue, one line; empty where it can."""
    if top_k <= items:
        return ""
    return f"trainer.top_k {top_k:,} is over the catalogue of {items:,} items; choose {items:,} or less"
