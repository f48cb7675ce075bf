"""An interrupted fit goes on as if nothing had happened; what cannot be gone on with starts anew."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.trainer.activity import ActivityFeature
from components.trainer.checkpoint import Checkpoint, State, identity_of
from components.trainer.fit import Fit, fit
from components.trainer.input_pipeline import Timelines
from components.trainer.model import Recommender
from components.trainer.ranking import RankingMetrics
from components.trainer.settings import TrainerSettings

pytestmark = pytest.mark.usefixtures("one_shape")

STATE = State(
    variables=[np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.uint32)],
    optimizer=[np.array(7, np.int64)],
    best=[np.full(n, n, np.float32) for n in range(12)],
    facts={"history": [{"epoch": 1, "loss": 0.1}], "step": 3},
)
# Everything that has a state: dropout of both kinds, drawn negatives, moving averages.
RANDOM = TrainerSettings(
    **{"encoder": "bow", "dimension": 8, "blocks": 1, "dropout": 0.3, "item_dropout": 0.2, "negatives": 4},
    **{"loss": "sampled_softmax", "negative_power": 0.5, "activity_features": ["rating"]},
    **{"batch_positions": 32, "window": 4, "max_epochs": 5, "max_minutes": 1e6, "patience": 3, "learning_rate": 0.02},
)
RECALLS = [0.1, 0.4, 0.3, 0.2, 0.15]


class Interrupted(Exception):
    """As if the process were killed."""


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.INFO, "recommender.progress")
    return lambda: caplog.text


RATING = ActivityFeature("rating", (2.5,))


def run(
    data: Timelines, checkpoint: Checkpoint | None, settings: TrainerSettings = RANDOM, stop_in: int | None = None
) -> tuple[Recommender, Fit, list[list[np.ndarray]]]:
    """Fit with known recalls, interrupted while an epoch is measured; also the weights that were measured."""
    model = Recommender(settings, 4, np.bincount(data.items), activity_features=[RATING])
    seen: list[list[np.ndarray]] = []

    def measure(model: Recommender, holdout: Timelines) -> RankingMetrics:
        epoch = int(len(seen) + 1 + already)
        if epoch == stop_in:
            raise Interrupted
        seen.append([weight.copy() for weight in model.get_weights()])
        return RankingMetrics(RECALLS[epoch - 1], 0.5 * RECALLS[epoch - 1])

    state = checkpoint.load() if checkpoint else None
    already = len(state.facts["history"]) if state else 0
    return model, fit(model, data, data, measure, checkpoint), seen


def without_seconds(fitted: Fit) -> list[dict[str, float]]:
    return [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in fitted.as_dicts()]


@pytest.fixture(scope="module")
def data(circle: Callable[..., Timelines]) -> Timelines:
    return circle(users=12, films=6, length=6)


def test_a_fit_that_was_interrupted_twice_ends_as_one_that_was_not(tmp_path, data, messages):
    expected_model, expected, expected_seen = run(data, None)
    checkpoint = Checkpoint(str(tmp_path / "checkpoints"), "a")
    for epoch in (2, 5):
        with pytest.raises(Interrupted):
            run(data, checkpoint, stop_in=epoch)
    model, fitted, seen = run(data, checkpoint)
    assert "going on after epoch 1 of" in messages() and "going on after epoch 4 of" in messages()
    assert without_seconds(fitted) == without_seconds(expected)
    assert fitted.best_epoch == expected.best_epoch == 2
    assert (len(seen), len(expected_seen)) == (1, 5)
    for weights, wanted in ((model.get_weights(), expected_model.get_weights()), (seen[0], expected_seen[-1])):
        for one, other in zip(weights, wanted, strict=True):
            np.testing.assert_array_equal(one, other)

    # Killed after the last epoch, before the model was saved: nothing is fitted again.
    model, fitted, seen = run(data, checkpoint)
    assert not seen and without_seconds(fitted) == without_seconds(expected)
    for one, other in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_time_that_passed_before_the_interruption_counts(tmp_path, data):
    checkpoint = Checkpoint(str(tmp_path), "a")
    with pytest.raises(Interrupted):
        run(data, checkpoint, stop_in=2)
    state = checkpoint.load()
    state.facts["history"][0]["seconds"] = 120.0
    checkpoint.save(state)
    _, fitted, seen = run(data, checkpoint, RANDOM.model_copy(update={"max_epochs": 2, "max_minutes": 2.1}))
    assert len(seen) == 1
    assert fitted.history[1].seconds >= 120


def test_a_state_comes_back_as_it_was(tmp_path):
    folder = str(tmp_path / "not" / "there")
    checkpoint = Checkpoint(folder, "a")
    assert checkpoint.load() is None
    checkpoint.save(State([], [], [], {}))
    checkpoint.save(STATE)
    found = checkpoint.load()
    assert found.facts == STATE.facts
    for name in ("variables", "optimizer", "best"):
        before, after = getattr(STATE, name), getattr(found, name)
        assert [value.dtype for value in before] == [value.dtype for value in after]
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
    assert Checkpoint(folder, "b").load() is None
    assert [path.name for path in Path(checkpoint.path).parent.iterdir()] == ["a.npz"]
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None


def broken(content: bytes) -> dict[str, bytes]:
    damaged = bytearray(content)
    damaged[200] ^= 0xFF
    return {
        "empty": b"",
        "text": b"not a checkpoint",
        "cut off": content[: len(content) // 2],
        "damaged": bytes(damaged),
        "zip without facts": b"PK\x05\x06" + bytes(18),
    }


@pytest.mark.parametrize("kind", broken(bytes(300)))
def test_what_cannot_be_read_starts_anew(tmp_path, messages, kind):
    checkpoint = Checkpoint(str(tmp_path), "a")
    checkpoint.save(STATE)
    path = Path(checkpoint.path)
    path.write_bytes(broken(path.read_bytes())[kind])
    assert checkpoint.load() is None
    assert f"{path} cannot be read (" in messages() and "training starts anew" in messages()
    assert messages().count("\n") == 1
    checkpoint.save(STATE)
    assert checkpoint.load() is not None


def test_a_name_is_of_the_whole_content():
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
