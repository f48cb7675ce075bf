"""Values of the activity inputs reach the model, in parallel with the items of the history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from on_device import ArtifactError, Recommender
from on_device.tflite_model import TFLiteModel
from tests.tflite import convert_function

HISTORY_LENGTH = 4
NAN = float("nan")
SIZE = 40  # indices of the catalogue
SPECS = {
    "history": tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history"),
    "ratings": tf.TensorSpec([1, HISTORY_LENGTH], tf.float32, "ratings"),
    "times": tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "times"),
}


def mirror(**specs: tf.TensorSpec) -> bytes:
    """Returns a model file whose scores are its inputs, one after another."""

    def recommend(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        values = tf.concat([tf.cast(inputs[name], tf.float32) for name in specs], axis=1)
        unused = 0 * inputs["history"][:, :1] + tf.cast(0 * inputs["bias"][:, :1], tf.int32)
        return {"ids": tf.range(2, 2 + values.shape[1])[None, :] + unused, "scores": values}

    bias = tf.TensorSpec([1, SIZE], tf.float32, "bias")
    return convert_function(recommend, tf.Module(), **specs, bias=bias)


@pytest.fixture(scope="module")
def content() -> bytes:
    return mirror(**SPECS)


@pytest.fixture(scope="module")
def model(content: bytes) -> TFLiteModel:
    return TFLiteModel(content, "films/model.tflite")


def inputs_of(scores: np.ndarray) -> dict[str, list[float | None]]:
    """Returns the inputs that the model received, by name, with None for NaN."""
    values = [None if np.isnan(score) else score for score in scores.tolist()]
    return {name: values[index * HISTORY_LENGTH : (index + 1) * HISTORY_LENGTH] for index, name in enumerate(SPECS)}


def rank(model: TFLiteModel, *args: Any, **activity: Any) -> dict[str, list[float | None]]:
    """Ranks items and returns the inputs that the model received."""
    _, scores = model.rank(*args, **activity)
    return inputs_of(scores)


def test_activity_inputs_are_the_other_inputs_of_the_model(model: TFLiteModel) -> None:
    assert model.activity_inputs == ("ratings", "times")
    assert TFLiteModel(mirror(history=SPECS["history"])).activity_inputs == ()
    assert TFLiteModel(mirror(history=SPECS["history"], times=SPECS["times"])).activity_inputs == ("times",)


@pytest.mark.parametrize("exclude", [[], [9]])
def test_values_are_in_parallel_with_items(model: TFLiteModel, exclude: list[int]) -> None:
    inputs = rank(model, np.array([5, 6]), np.array(exclude), ratings=np.array([1, 2.5]), times=np.array([10, 20]))
    assert inputs == {"history": [5, 6, 0, 0], "ratings": [1, 2.5, None, None], "times": [10, 20, 0, 0]}


def test_the_last_values_of_a_long_history_are_used(model: TFLiteModel) -> None:
    inputs = rank(model, np.arange(10, 20), ratings=np.arange(10) / 2, times=np.arange(100, 110))
    assert inputs == {
        "history": [16, 17, 18, 19],
        "ratings": [3, 3.5, 4, 4.5],
        "times": [106, 107, 108, 109],
    }


@pytest.mark.parametrize("missing", [{}, {"ratings": None, "times": None}])
def test_missing_inputs_are_unknown(model: TFLiteModel, missing: dict[str, Any]) -> None:
    expected = {"history": [5, 6, 0, 0], "ratings": [None] * 4, "times": [0] * 4}
    assert rank(model, np.array([5, 6]), **missing) == expected
    assert rank(model, np.array([5, 6]), times=np.array([1, 2])) == expected | {"times": [1, 2, 0, 0]}


def test_an_empty_history_may_have_empty_values(model: TFLiteModel) -> None:
    empty = np.empty(0)
    expected = {"history": [0] * 4, "ratings": [None] * 4, "times": [0] * 4}
    assert rank(model, empty, ratings=empty, times=empty) == expected


def test_times_after_2038_wrap_around(model: TFLiteModel) -> None:
    assert rank(model, np.array([5, 6]), times=np.array([2**32 + 3, 2**32 + 5]))["times"] == [3, 5, 0, 0]
    assert rank(model, np.array([5]), times=np.array([2**31]))["times"] == [-(2**31), 0, 0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratings": [1.0]}, "films/model.tflite: ratings: 1 values for a history of 2 items"),
        ({"times": [1, 2, 3]}, "films/model.tflite: times: 3 values for a history of 2 items"),
        ({"ratings": [], "times": [1, 2]}, "films/model.tflite: ratings: 0 values for a history of 2 items"),
    ],
)
def test_values_of_another_length_are_an_error(
    model: TFLiteModel, values: dict[str, list[float]], message: str
) -> None:
    with pytest.raises(ArtifactError) as raised:
        model.rank(np.array([5, 6]), **{name: np.array(column) for name, column in values.items()})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratings": ["good", "bad"]}, "ratings: expected numbers, found 'good'"),
        ({"ratings": [3, "4"]}, "ratings: expected numbers, found '4'"),
        ({"ratings": [True, 4]}, "ratings: expected numbers, found True"),
        ({"ratings": [[1, 2]]}, "ratings: an array of shape [1, 2] for a history of 2 items"),
        ({"ratings": 5}, "ratings: an array of shape [] for a history of 2 items"),
        ({"ratings": [1, float("inf")]}, "ratings: inf is too large; use None for an unknown value"),
        ({"ratings": [1, 1e300]}, "ratings: 1e+300 is too large; use None for an unknown value"),
        ({"times": [2**63, 1]}, "times: 9.22337e+18 is too large; use None for an unknown value"),
        ({"times": [10**400, 1]}, "times: expected numbers ("),
        ({"times": [1, -float("inf")]}, "times: -inf is too large; use None for an unknown value"),
    ],
)
def test_invalid_values_are_an_error(model: TFLiteModel, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as raised:
        model.rank(np.array([5, 6]), **values)
    assert str(raised.value).startswith(f"films/model.tflite: {message}")
    assert "\n" not in str(raised.value)


def test_nan_and_none_are_unknown(model: TFLiteModel) -> None:
    expected = {"history": [5, 6, 7, 0], "ratings": [None, None, 4, None], "times": [0, 0, 9, 0]}
    assert rank(model, np.array([5, 6, 7]), ratings=[NAN, None, 4], times=[None, NAN, 9.7]) == expected


def test_inputs_of_a_wrong_shape_or_type_are_an_error() -> None:
    longer = tf.TensorSpec([1, 5], tf.float32, "ratings")
    with pytest.raises(ArtifactError, match="m: ratings has length 5, but history has length 4"):
        TFLiteModel(mirror(history=SPECS["history"], ratings=longer), "m")
    integers = tf.TensorSpec([1, 4], tf.int32, "ratings")
    with pytest.raises(ArtifactError, match=r"m: ratings is int32 \[1, 4\], expected float32 \[1, length\]"):
        TFLiteModel(mirror(history=SPECS["history"], ratings=integers), "m")


@pytest.fixture
def recommend(pushed: Path, sign: Callable[..., None], content: bytes) -> Callable[..., dict[str, list[float]]]:
    """Recommends with the mirror as the model of a pushed folder, and returns the inputs that it received."""
    (pushed / "2" / "model.tflite").write_bytes(content)
    sign(top_k=3 * HISTORY_LENGTH)
    recommender = Recommender.load(pushed)
    assert recommender.activity_inputs == ("ratings", "times")

    def run(*args: Any, **values: Any) -> dict[str, list[float]]:
        return inputs_of(np.array([item.score for item in recommender.recommend(*args, k=12, **values)]))

    return run


def test_recommend_passes_ratings_and_times_to_the_model(recommend: Callable[..., dict[str, list[float]]]) -> None:
    history = ["1005", "no such film", 1005]
    inputs = recommend(history, ratings=[4, NAN, 2], times=[10, 0, 30])
    assert inputs == {"history": [5, 1, 5, 0], "ratings": [4, None, 2, None], "times": [10, 0, 30, 0]}


def test_recommend_uses_the_last_values_of_a_long_history(recommend: Callable[..., dict[str, list[float]]]) -> None:
    history = [1002, 1003, 1004, 1005, 1006, 1007]
    inputs = recommend(history, ratings=[1, 2, 3, 4, 5, 0.5], times=range(1, 7), deny=["1010"])
    assert inputs == {"history": [4, 5, 6, 7], "ratings": [3, 4, 5, 0.5], "times": [3, 4, 5, 6]}


def test_ratings_of_another_length_than_the_history_are_an_error(
    recommend: Callable[..., dict[str, list[float]]],
) -> None:
    with pytest.raises(ArtifactError, match="ratings: 1 values for a history of 2 items"):
        recommend([1002, 1003], ratings=[1])


def test_a_model_without_ratings_and_times_ignores_them(pushed_once: Path) -> None:
    recommender = Recommender.load(pushed_once)
    assert recommender.activity_inputs == ()
    history = [1005, 1006]
    assert recommender.recommend(history, ratings=[1, NAN], times=[1, 2]) == recommender.recommend(history)


@pytest.fixture
def column_recommender(pushed: Path, sign: Callable[..., None]) -> Recommender:
    """A recommender whose model is a mirror with a column of words and a column of numbers."""
    shape = [1, HISTORY_LENGTH]
    columns = {"device": tf.TensorSpec(shape, tf.int32, "device"), "price": tf.TensorSpec(shape, tf.float32, "price")}
    (pushed / "2" / "model.tflite").write_bytes(mirror(history=SPECS["history"], **columns))
    inputs = [
        {"feature": "device:token", "input": "device", "kind": "word", "words": ["phone", "7"]},
        {"feature": "price", "input": "price", "kind": "number"},
    ]
    sign(top_k=3 * HISTORY_LENGTH, activity_inputs=inputs)
    return Recommender.load(pushed)


def scores_of(recommender: Recommender, history: list, **values: Any) -> list[float | None]:
    scores = [item.score for item in recommender.recommend(history, k=12, **values)]
    return [None if np.isnan(score) else score for score in scores]


def test_words_become_their_indices(column_recommender: Recommender) -> None:
    assert column_recommender.activity_inputs == ("device", "price")
    scores = scores_of(column_recommender, [1002, 1003, 1004], device=["phone", 7, "watch"], price=[1.5, None, 100_000])
    assert scores[HISTORY_LENGTH:] == [2, 3, 1, 0, 1.5, None, 100_000, None]
    assert scores_of(column_recommender, [1002, 1003], device=[None, " phone "])[HISTORY_LENGTH:] == [
        0,
        2,
        0,
        0,
        *[None] * 4,
    ]
    assert scores_of(column_recommender, [1002], device=[NAN], ratings=[5])[HISTORY_LENGTH:] == [0] * 4 + [None] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": ["phone"]}, "has no input devices; available inputs: device, price"),
        ({"device": ["phone", "phone"]}, "device: 2 values for a history of 1 items"),
        ({"device": "phone"}, "device: expected a list of words, found 'phone'"),
        ({"price": ["cheap"]}, "price: expected numbers"),
    ],
)
def test_invalid_columns_are_an_error(column_recommender: Recommender, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        column_recommender.recommend([1002], **values)
