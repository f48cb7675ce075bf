"""The function that TFX's Trainer calls: one-line errors for unsuitable data, and the files that it writes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from components.errors import StepError
from components.trainer import decisions, ranking, run
from components.trainer.decisions import check, repeat_share
from components.trainer.fit import Fit, Plan
from components.trainer.ranking import RankingMetrics
from components.trainer.run import build_model
from components.trainer.settings import DENSE, SPARSE, TrainerSettings
from components.trainer.training_data import TrainingData
from tests.components.trainer.conftest import SMALL

TOKENS = ["genres=Drama", "genres=War", "year=1994"]  # tokens 2, 3 and 4
SETTINGS = SMALL.model_copy(update={"batch_positions": 64, "max_epochs": 2})


@pytest.fixture
def data(timelines_of: Callable, circle: Callable) -> TrainingData:
    """Returns data in which users follow a circle of items 2 to 6; item 7 has no train events."""
    train = circle(users=12, films=5, length=4)
    return TrainingData(
        train=train,
        holdout=train,
        ids=list("abcdef"),
        counts=np.bincount(train.items, minlength=8),
        pairs=np.array([[2, 2], [2, 4], [3, 2], [3, 3], [7, 3]], np.int32),
        tokens=TOKENS,
        vectors=np.zeros((8, 0), np.float32),
        history_length=4,
    )


def test_top_k_larger_than_the_catalogue_is_an_error(data):
    check(TrainerSettings(top_k=6), data)
    many = dataclasses.replace(data, ids=[str(number) for number in range(1000)])
    with pytest.raises(StepError) as error:
        check(TrainerSettings(top_k=1_001), many)
    assert str(error.value) == "trainer.top_k 1,001 is over the catalogue of 1,000 items; choose 1,000 or less"


def test_an_item_feature_that_no_item_has_is_an_error(data):
    check(TrainerSettings(top_k=1, item_features=("genres", "year")), data)
    without_year = dataclasses.replace(data, tokens=[token for token in TOKENS if "year" not in token])
    check(TrainerSettings(top_k=1), without_year)  # Default features that the data lacks are ignored.
    with pytest.raises(StepError) as error:
        check(TrainerSettings(top_k=1, item_features=("genres", "brend")), without_year)
    assert str(error.value) == ("trainer.item_features names 'brend', which no item has; the items have 'genres'")


def test_more_scores_than_fit_in_a_step_are_an_error(data):
    many = dataclasses.replace(data, ids=["x"] * 500_000)
    with pytest.raises(StepError, match=r"all 500,000 items at 3,200 positions.* choose sampled_softmax"):
        check(TrainerSettings(loss="full_softmax").decided(), many)
    check(TrainerSettings(loss="sampled_softmax"), many)


def test_too_many_interactions_for_similar_items_are_an_error(data, monkeypatch):
    monkeypatch.setattr(decisions, "MAX_PAIRED", 47)
    check(TrainerSettings(top_k=1, similar_items=0), data)
    with pytest.raises(StepError, match=r"similar_items .* those of 48 interactions .* set it to 0 .* more than 47"):
        check(TrainerSettings(top_k=1, similar_items=3), data)


def test_a_teacher_with_a_sampled_loss_is_an_error(data):
    settings = SETTINGS.model_copy(update={"loss": "sampled_softmax"})
    check(settings, data)
    with pytest.raises(StepError, match="It is sampled_softmax here, with 6 items and 48 interactions"):
        check(settings, data, has_teacher=True)


@pytest.mark.parametrize("lengths", [(), (0,), (1, 1, 0, 1)])
def test_a_train_split_without_a_next_item_is_an_error(data, timelines_of, lengths):
    short = dataclasses.replace(data, train=timelines_of([[2] * length for length in lengths]))
    with pytest.raises(StepError, match="no user of the train split has two items") as error:
        check(TrainerSettings(top_k=1), short)
    assert "\n" not in str(error.value)


def test_a_model_uses_the_item_features_of_its_settings(data):
    labels = {}
    for names in ((), ("genres",), ("year", "genres")):
        model = build_model(SETTINGS.model_copy(update={"item_features": names}), data)
        weights = {weight.name: weight for weight in model.weights}
        assert set(names) == {"genres", "year"} & set(weights)
        for name in names:
            weights[name].assign(np.full(weights[name].shape, {"genres": 10.0, "year": 100.0}[name]))
        weights["item"].assign(np.zeros(weights["item"].shape))
        labels[names] = np.asarray(model.tables().labels)[:, 0].tolist()
    assert labels == {
        (): [0] * 8,
        ("genres",): [0, 0, 10, 10, 0, 0, 0, 10],
        ("year", "genres"): [0, 0, 110, 10, 0, 0, 0, 10],
    }


def test_a_vector_of_each_item_is_projected(data):
    vectors = np.arange(32, dtype=np.float32).reshape(8, 4)
    data_with_vectors = dataclasses.replace(data, tokens=[*TOKENS, "text=vector of 4 numbers"], vectors=vectors)
    model = build_model(SETTINGS.model_copy(update={"item_features": ("text",)}), data_with_vectors)
    weights = {weight.name: weight for weight in model.weights}
    weights["item"].assign(np.zeros(weights["item"].shape))
    projection = np.asarray(weights["text"])
    np.testing.assert_allclose(model.tables().labels, vectors @ projection, rtol=1e-5)


def arguments(
    folder: Path,
    settings: TrainerSettings,
    hyperparameters: dict | None = None,
    base_model: str = "",
    split: str = "temporal",
) -> SimpleNamespace:
    return SimpleNamespace(
        custom_config={
            "settings": settings.model_dump(mode="json"),
            "checkpoints": str(folder / "checkpoints"),
            "split": split,
        },
        base_model=base_model,
        hyperparameters=hyperparameters and {"values": hyperparameters},
        transform_output=str(folder),
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "logs"),
    )


@pytest.fixture
def train(data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_shape: None) -> Callable[..., dict]:
    """Returns a function that runs the Trainer without its SavedModel, and returns the facts about the model."""

    class FakeServingModel:
        def __init__(self, *_: object):
            pass

        def save(self, folder: str) -> None:
            Path(folder).mkdir(exist_ok=True)

    monkeypatch.setattr(run, "ServingModel", FakeServingModel)

    def run_trainer(
        settings: TrainerSettings = SETTINGS,
        hyperparameters: dict | None = None,
        data: TrainingData = data,
        **more: str,
    ) -> dict:
        monkeypatch.setattr(run, "read_training_data", lambda fn_args: data)
        run.run_fn(arguments(tmp_path, settings, hyperparameters, **more))
        return json.loads((tmp_path / "model" / run.FACTS_FILE).read_text(encoding="utf-8"))

    return run_trainer


def test_the_trainer_writes_facts_and_removes_its_checkpoint(train, tmp_path):
    facts = train()
    assert facts["item_ids"] == list("abcdef") and facts["repeat_gain"] == 0.0
    assert sum(facts["item_counts"]) == 48 and facts["item_counts"][-1] == 0
    assert len(facts["history"]) == 2 and facts["best_epoch"] in (1, 2)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_hyperparameters_override_the_settings(train):
    facts = train(hyperparameters={"dimension": 8, "max_epochs": 1})
    assert (facts["dimension"], len(facts["history"])) == (8, 1)
    chosen = {"loss": "full_softmax", "eval_users": 12, "negatives": 512}
    undecided = {name: value for name, value in SPARSE.items() if getattr(SETTINGS, name) is None}
    sparse = TrainerSettings(**undecided).model_dump(mode="json", include=undecided)
    given = {**SETTINGS.model_dump(mode="json"), "dimension": 8, "max_epochs": 1}
    assert facts["settings"] == {**given, **chosen, **sparse}


@pytest.mark.parametrize(
    ("items", "positions", "users", "loss", "negatives", "epochs", "eval_users"),
    [
        (3_416, 990_000, 6_040, "full_softmax", 512, 12, 6_040),
        (12_101, 150_000, 22_363, "full_softmax", 512, 8, 22_363),
        (1_616, 79_000, 10_008, "full_softmax", 512, 14, 10_008),
        (2_784, 33_000, 6_653, "full_softmax", 512, 16, 6_653),
        (87_000, 32_000_000, 200_000, "sampled_softmax", 2_175, 2, 11_494),
        (1_000_000, 100_000, 50_000, "sampled_softmax", 4_096, 16, 1_000),
        (3_000, 30_000_000, 500, "sampled_softmax", 512, 2, 500),
    ],
)
def test_the_size_of_the_data_determines_settings_without_a_value(
    items, positions, users, loss, negatives, epochs, eval_users
):
    chosen = TrainerSettings().for_data(items, positions, users)
    assert (chosen.loss, chosen.negatives) == (loss, negatives)
    assert (chosen.max_epochs, chosen.eval_users) == (epochs, eval_users)
    given = TrainerSettings(loss="gbce", negatives=3, max_epochs=7, eval_users=5, **{**DENSE, "dropout": 0.0})
    assert given.for_data(items, positions, users) == given


@pytest.mark.parametrize(("positions", "expected"), [(9_999, SPARSE), (10_000, DENSE)])
def test_positions_per_item_choose_the_settings_for_sparse_or_dense_data(positions, expected):
    chosen = TrainerSettings().for_data(100, positions, 10)
    assert {name: getattr(chosen, name) for name in expected} == expected
    assert len(chosen.all_members()) == 1 + len(expected["members"])
    assert TrainerSettings(transition=False, dropout=0).for_data(100, 10_000, 10).dropout == 0
    # Without data, the settings are those for dense data.
    assert TrainerSettings().decided().for_data(100, 9_999, 10).members == DENSE["members"]
    assert len(TrainerSettings().all_members()) == 2


def test_a_checkpoint_is_only_for_the_same_settings_data_and_code(train, data, monkeypatch):
    paths = []

    def fake_fit(*_: object, backup: str, plan: Plan, log_dir: str, soft: None) -> Fit:
        paths.append(backup)
        return Fit((), 0)

    monkeypatch.setattr(run, "fit", fake_fit)
    changed_ratings = {**data.train.activities, "ratings": data.train.activities["ratings"] + 1}
    train()
    train(SETTINGS.model_copy(update={"learning_rate": 0.01}))
    train(hyperparameters={"dropout": 0.1})
    train(data=dataclasses.replace(data, pairs=data.pairs[:-1]))
    train(data=dataclasses.replace(data, train=dataclasses.replace(data.train, activities=changed_ratings)))
    train(data=dataclasses.replace(data, holdout=dataclasses.replace(data.holdout, targets=data.holdout.targets[::-1])))
    monkeypatch.setattr(run, "step_version", lambda step: "other code")
    train()
    assert len(set(paths)) == len(paths) == 7


def test_the_same_fit_has_the_same_checkpoint(data):
    names = {run._identity(TrainerSettings(), dataclasses.replace(data)) for _ in range(2)}
    assert len(names) == 1


def test_a_warm_start_uses_earlier_weights_and_half_of_the_epochs(train, tmp_path):
    settings = SETTINGS.model_copy(update={"max_epochs": 4, "learning_rate": 0.05, "patience": 9, "batch_positions": 8})
    assert train(settings)["started_from"] == ""
    earlier = shutil.copytree(tmp_path / "model", tmp_path / "earlier")
    facts = train(settings, base_model=str(earlier))
    assert facts["started_from"] == str(earlier) and len(facts["history"]) == 2
    assert facts["history"][0]["loss"] < json.loads((earlier / run.FACTS_FILE).read_text())["history"][0]["loss"]


def test_a_warm_start_rejects_models_that_may_have_seen_the_holdout(train, data, tmp_path):
    train()
    earlier = tmp_path / "model"
    facts = json.loads((earlier / run.FACTS_FILE).read_text())
    settings = TrainerSettings(**facts["settings"])

    def starts_from(folder: Path, split: str = "temporal", similar_items: int = 10, **changed: int) -> bool:
        used = {**facts["settings"], "similar_items": similar_items}
        (earlier / run.FACTS_FILE).write_text(json.dumps({**facts, "settings": used, **changed}))
        base = run._base_of(arguments(tmp_path, SETTINGS, base_model=str(folder), split=split), settings, data)
        return base is not None

    assert starts_from(earlier)
    assert not starts_from(earlier, split="leave_one_out")
    assert not starts_from(earlier, trained_until=10**9)
    assert not starts_from(earlier, trained_on=49)
    assert not starts_from(earlier, similar_items=0), "its embeddings have another meaning"
    assert not starts_from(tmp_path / "nowhere")


def test_a_fit_without_a_holdout_keeps_the_last_epoch(train, data):
    facts = train(data=dataclasses.replace(data, holdout=None))
    assert (len(facts["history"]), facts["best_epoch"], facts["history"][0]["recall_at_10"]) == (2, 2, None)


def test_weights_of_targets_decide_which_repeats_count(data, timelines_of):
    log = timelines_of([[2, 3, 2, 4]])
    assert repeat_share(log) == pytest.approx(1 / 3)
    weighted = dataclasses.replace(log, weights=np.array([1, 1, 0, 1], np.float32))
    assert repeat_share(weighted) == 0
    weighted = dataclasses.replace(log, weights=np.array([0, 0, 0.2, 0], np.float32))
    assert repeat_share(weighted) == 1


def test_the_gain_of_repeats_is_the_smallest_of_the_best_gains_on_eval(train, monkeypatch):
    recalls = {0.0: 0.2, 1.0: 0.4, 2.0: 0.5, 4.0: 0.5}
    monkeypatch.setattr(ranking, "evaluate", lambda model, holdout, gain: RankingMetrics(recalls[gain], 0.0))
    facts = train(SETTINGS.model_copy(update={"repeats": "recommend"}))
    assert (facts["repeat_gain"], facts["recall_with_gain"]) == (2.0, 0.5)
    fixed = train(SETTINGS.model_copy(update={"repeats": "recommend", "repeat_gain": 0.5}))
    assert fixed["repeat_gain"] == 0.5 and "recall_with_gain" not in fixed


def test_an_unknown_target_is_a_miss_with_every_gain(data, timelines_of):
    """The catalogue has fewer items than a list."""
    model = build_model(SETTINGS.model_copy(update={"repeats": "recommend"}), data)
    holdout = dataclasses.replace(timelines_of([[2, 3], [4, 5]]), targets=np.array([2, 1], np.int32))
    assert ranking.best_gain(model, holdout) == (0.0, 0.5)


def test_repeats_in_the_log_decide_whether_they_are_recommended(data, timelines_of):
    assert not build_model(SETTINGS, data).settings.recommends_seen
    repeating = timelines_of([[2, 3, 2, 4], [5, 5]])
    assert run.repeat_share(repeating) == 0.5 and run.repeat_share(timelines_of([[2], [2], [2, 3]])) == 0
    log = dataclasses.replace(data, train=repeating)
    assert build_model(SETTINGS, log).settings.repeats == "recommend"
    assert build_model(SETTINGS.model_copy(update={"repeats": "keep"}), log).settings.repeats == "keep"
