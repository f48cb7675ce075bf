"""An interrupted fit resumes with the same result; a fit with a damaged backup starts from the beginning."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.trainer.activity import ActivityFeature
from components.trainer.backup import Backup, identity_of
from components.trainer.fit import Fit, fit
from components.trainer.input_pipeline import Timelines
from components.trainer.lazy_adam import LazyAdam
from components.trainer.model import RecommenderModel
from components.trainer.ranking import RankingMetrics
from components.trainer.settings import TrainerSettings
from tests.object_store import BUCKET, played_s3

pytestmark = pytest.mark.usefixtures("one_shape")

# The settings enable every part with a state: dropout of both kinds, drawn negatives, moving averages.
RANDOM = TrainerSettings(
    **{"encoder": "bow", "members": (), "dimension": 8, "dropout": 0.3, "item_dropout": 0.2, "negatives": 4},
    **{"loss": "sampled_softmax", "negative_power": 0.5, "activity_features": ["rating"]},
    **{"batch_positions": 32, "window": 4, "max_epochs": 5, "max_minutes": 1e6, "patience": 3, "learning_rate": 0.02},
)
RECALLS = [0.1, 0.4, 0.3, 0.2, 0.15]


class Interrupted(Exception):
    """Simulates that the process is killed."""


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "recommender.progress")
    return lambda: caplog.text


RATING = ActivityFeature("rating", (2.5,))


def fresh_model(data: Timelines, settings: TrainerSettings = RANDOM) -> RecommenderModel:
    return RecommenderModel(settings, 4, np.bincount(data.items), activity_features=[RATING])


def run(
    data: Timelines,
    backup: str,
    settings: TrainerSettings = RANDOM,
    interrupt_in: int | None = None,
    epochs_done: int | None = None,
) -> tuple[RecommenderModel, Fit, list[list[np.ndarray]]]:
    """Fits with known recalls, and with an interruption in an optional epoch; returns also the weights by epoch."""
    model = fresh_model(data, settings)
    epoch_weights: list[list[np.ndarray]] = []
    history = Path(backup) / "history.csv"
    if epochs_done is None:
        epochs_done = len(history.read_text(encoding="utf-8").splitlines()) - 1 if backup and history.exists() else 0

    def measure(model: RecommenderModel, holdout: Timelines) -> RankingMetrics:
        epoch = int(len(epoch_weights) + 1 + epochs_done)
        if epoch == interrupt_in:
            raise Interrupted
        epoch_weights.append([weight.copy() for weight in model.get_weights()])
        return RankingMetrics(RECALLS[epoch - 1], 0.5 * RECALLS[epoch - 1])

    return model, fit(model, data, data, measure, backup), epoch_weights


def without_seconds(fitted: Fit) -> list[dict[str, float]]:
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in fitted.as_dicts()]


def assert_equal(values: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for value, expected_value in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, expected_value)


@pytest.fixture(scope="module")
def data(circle: Callable[..., Timelines]) -> Timelines:
    return circle(users=12, films=6, length=6)


@pytest.fixture(scope="module")
def complete(one_shape: None, data: Timelines) -> tuple[RecommenderModel, Fit, list[list[np.ndarray]]]:
    """The result of a fit without interruptions."""
    return run(data, "")


@pytest.fixture(scope="module")
def after_one_epoch(one_shape: None, data: Timelines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the backup of a fit that was interrupted in its second epoch."""
    folder = tmp_path_factory.mktemp("backup")
    with pytest.raises(Interrupted):
        run(data, str(folder), interrupt_in=2)
    return folder


@pytest.fixture
def folder(after_one_epoch: Path, tmp_path: Path) -> Path:
    """Returns a copy of the backup after one epoch."""
    return Path(shutil.copytree(after_one_epoch, tmp_path / "checkpoints" / "a"))


def test_a_fit_that_resumes_twice_has_the_result_of_an_uninterrupted_fit(folder, data, complete, messages):
    expected_model, expected, expected_epoch_weights = complete
    with pytest.raises(Interrupted):
        run(data, str(folder), interrupt_in=5)
    model, fitted, epoch_weights = run(data, str(folder))
    assert "resuming after epoch 1 of" in messages() and "resuming after epoch 4 of" in messages()
    assert without_seconds(fitted) == without_seconds(expected)
    assert fitted.best_epoch == expected.best_epoch == 2
    assert (len(epoch_weights), len(expected_epoch_weights)) == (1, 5)
    assert_equal(model.get_weights(), expected_model.get_weights())
    assert_equal(epoch_weights[0], expected_epoch_weights[-1])

    # If the process is killed after the last epoch and before it saves the model, no epoch is repeated.
    model, fitted, epoch_weights = run(data, str(folder))
    assert not epoch_weights and without_seconds(fitted) == without_seconds(expected)
    assert_equal(model.get_weights(), expected_model.get_weights())


def test_time_before_the_interruption_counts_toward_the_limit(folder, data):
    history = folder / "history.csv"
    lines = history.read_text(encoding="utf-8").splitlines()
    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True)) | {"seconds": "120.0"}
    history.write_text(f"{lines[0]}\n{','.join(row.values())}\n", encoding="utf-8")
    _, fitted, epoch_weights = run(data, str(folder), RANDOM.model_copy(update={"max_epochs": 2, "max_minutes": 2.1}))
    assert len(epoch_weights) == 1
    assert fitted.history[1].seconds >= 120


def test_a_fit_resumes_from_an_object_store(data, messages):
    with played_s3():
        folder = f"s3://{BUCKET}/checkpoints/a"
        with pytest.raises(Interrupted):
            run(data, folder, interrupt_in=3)
        _, _, epoch_weights = run(data, folder)
    assert len(epoch_weights) == 3 and "resuming after epoch 2 of" in messages()


def test_a_fit_resumes_without_half_written_weights(folder, data, complete, messages):
    """The fit is killed while it writes the best weights of the second epoch; those of the first epoch exist."""
    (folder / "best-002.weights.h5").write_bytes(b"half of a fi")
    with (folder / "history.csv").open("a", encoding="utf-8") as stream:
        stream.write("1,0.5,9.0,0.4,0.2\n")
    _, fitted, epoch_weights = run(data, str(folder), epochs_done=1)
    assert "resuming after epoch 1 of" in messages() and len(epoch_weights) == 4
    assert without_seconds(fitted) == without_seconds(complete[1])


DAMAGES = {
    "empty": lambda content: b"",
    "text": lambda content: b"not a checkpoint",
    "cut off": lambda content: content[: len(content) // 2],
}


def damage(folder: Path, name: str, kind: str) -> None:
    """Damages the files of a backup whose names start with `name`."""
    for path in folder.glob(f"{name}*"):
        path.write_bytes(DAMAGES[kind](path.read_bytes()))


@pytest.fixture(scope="module")
def fresh(data: Timelines) -> RecommenderModel:
    """Returns a model with initial weights and an optimizer."""
    model = fresh_model(data)
    model.compile(LazyAdam())
    model.optimizer.build(model.trainable_variables)
    return model


def values_of(model: RecommenderModel) -> list[np.ndarray]:
    return [variable.numpy() for variable in (*model.variables, *model.optimizer.variables)]


@pytest.mark.parametrize("name", ["latest.weights.h5", "best-", "history.csv", "training_metadata.json"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_backup_leaves_the_model_unchanged(folder, fresh, messages, kind, name):
    before = values_of(fresh)
    damage(folder, name, kind)
    assert Backup(str(folder)).restore(fresh) == []
    assert f"{folder} cannot be read (" in messages() and "training starts from the beginning" in messages()
    assert_equal(values_of(fresh), before)
    assert list(folder.iterdir()) == []


def test_a_fit_with_a_damaged_backup_starts_from_the_beginning(folder, data, complete):
    damage(folder, "history.csv", "cut off")
    model, fitted, _ = run(data, str(folder), epochs_done=0)
    assert without_seconds(fitted) == without_seconds(complete[1])
    assert_equal(model.get_weights(), complete[0].get_weights())


def test_an_identity_depends_on_the_entire_content():
    numbers = np.arange(3)
    names = [
        identity_of("a", numbers),
        identity_of("b", numbers),
        identity_of("a", numbers + 1),
        identity_of("a", numbers, ""),
        identity_of("a", numbers[:2]),
        identity_of(numbers, "a"),
        identity_of("", "a"),
        identity_of("a", ""),
    ]
    assert len(set(names)) == len(names)
    assert identity_of("a", np.arange(3)) == names[0] and names[0].isalnum()
    assert identity_of(np.arange(10)[::2]) == identity_of(np.arange(0, 10, 2))
