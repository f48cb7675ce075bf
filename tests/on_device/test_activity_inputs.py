"""What is known of a history besides its items reaches the model, beside the right items."""

from __future__ import annotations

import functools
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
SIZE = 40  # of the catalogue
SPECS = {
    "history": tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history"),
    "ratings": tf.TensorSpec([1, HISTORY_LENGTH], tf.float32, "ratings"),
    "times": tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "times"),
}


def mirror(**specs: tf.TensorSpec) -> bytes:
    """A model whose scores are what it was given: each of its inputs, one after another."""

    def recommend(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        given = tf.concat([tf.cast(inputs[name], tf.float32) for name in specs], axis=1)
        unused = 0 * inputs["history"][:, :1] + tf.cast(0 * inputs["bias"][:, :1], tf.int32)
        return {"ids": tf.range(2, 2 + given.shape[1])[None, :] + unused, "scores": given}

    bias = tf.TensorSpec([1, SIZE], tf.float32, "bias")
    return convert_function(recommend, tf.Module(), **specs, bias=bias)


@pytest.fixture(scope="module")
def content() -> bytes:
    return mirror(**SPECS)


@pytest.fixture(scope="module")
def model(content: bytes) -> TFLiteModel:
    return TFLiteModel(content, "films/model.tflite")


def given(answer: tuple[np.ndarray, np.ndarray]) -> dict[str, list[float]]:
    """What the model was given, by input; NaN as None."""
    _, scores = answer
    values = [None if np.isnan(score) else score for score in scores.tolist()]
    return {name: values[at * HISTORY_LENGTH : (at + 1) * HISTORY_LENGTH] for at, name in enumerate(SPECS)}


def test_a_model_says_what_it_heeds(model: TFLiteModel) -> None:
    assert model.activity_inputs == ("ratings", "times")
    assert TFLiteModel(mirror(history=SPECS["history"])).activity_inputs == ()
    assert TFLiteModel(mirror(history=SPECS["history"], times=SPECS["times"])).activity_inputs == ("times",)


@pytest.mark.parametrize("exclude", [[], [9]])
def test_values_stand_beside_their_items(model: TFLiteModel, exclude: list[int]) -> None:
    found = model.rank(np.array([5, 6]), np.array(exclude), ratings=np.array([1, 2.5]), times=np.array([10, 20]))
    assert given(found) == {"history": [5, 6, 0, 0], "ratings": [1, 2.5, None, None], "times": [10, 20, 0, 0]}


def test_of_a_long_history_the_last_values_count(model: TFLiteModel) -> None:
    found = model.rank(np.arange(10, 20), ratings=np.arange(10) / 2, times=np.arange(100, 110))
    assert given(found) == {
        "history": [16, 17, 18, 19],
        "ratings": [3, 3.5, 4, 4.5],
        "times": [106, 107, 108, 109],
    }


@pytest.mark.parametrize("missing", [{}, {"ratings": None, "times": None}])
def test_what_is_missing_is_unknown(model: TFLiteModel, missing: dict[str, Any]) -> None:
    wanted = {"history": [5, 6, 0, 0], "ratings": [None] * 4, "times": [0] * 4}
    assert given(model.rank(np.array([5, 6]), **missing)) == wanted
    assert given(model.rank(np.array([5, 6]), times=np.array([1, 2]))) == wanted | {"times": [1, 2, 0, 0]}


def test_an_empty_history_may_have_empty_values(model: TFLiteModel) -> None:
    nothing = np.empty(0)
    wanted = {"history": [0] * 4, "ratings": [None] * 4, "times": [0] * 4}
    assert given(model.rank(nothing, ratings=nothing, times=nothing)) == wanted


def test_times_later_than_2038_wrap_around(model: TFLiteModel) -> None:
    times = given(model.rank(np.array([5, 6]), times=np.array([2**32 + 3, 2**32 + 5])))["times"]
    assert times == [3, 5, 0, 0]
    late = given(model.rank(np.array([5]), times=np.array([2**31])))["times"]
    assert late == [-(2**31), 0, 0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratings": [1.0]}, "films/model.tflite: 1 ratings for a history of 2 items"),
        ({"times": [1, 2, 3]}, "films/model.tflite: 3 times for a history of 2 items"),
        ({"ratings": [], "times": [1, 2]}, "films/model.tflite: 0 ratings for a history of 2 items"),
    ],
)
def test_values_of_another_length(model: TFLiteModel, values: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ArtifactError) as error:
        model.rank(np.array([5, 6]), **{name: np.array(column) for name, column in values.items()})
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratings": ["good", "bad"]}, "ratings are not numbers (could not convert string to float: "),
        ({"ratings": [[1, 2]]}, "an array [1, 2] of ratings for a history of 2 items"),
        ({"ratings": 5}, "an array [] of ratings for a history of 2 items"),
        ({"ratings": [1, float("inf")]}, "inf among ratings; leave out what is not known"),
        ({"ratings": [1, 1e300]}, "1e+300 among ratings; leave out what is not known"),
        ({"times": [2**63, 1]}, "9.22337e+18 among times; leave out what is not known"),
        ({"times": [10**400, 1]}, "times are not numbers ("),
        ({"times": [1, -float("inf")]}, "-inf among times; leave out what is not known"),
    ],
)
def test_values_that_are_no_values(model: TFLiteModel, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as error:
        model.rank(np.array([5, 6]), **values)
    assert str(error.value).startswith(f"films/model.tflite: {message}")
    assert "\n" not in str(error.value)


def test_nan_and_none_are_unknown(model: TFLiteModel) -> None:
    wanted = {"history": [5, 6, 7, 0], "ratings": [None, None, 4, None], "times": [0, 0, 9, 0]}
    assert given(model.rank(np.array([5, 6, 7]), ratings=[NAN, None, 4], times=[None, NAN, 9.7])) == wanted


def test_a_file_whose_inputs_do_not_fit_each_other() -> None:
    longer = tf.TensorSpec([1, 5], tf.float32, "ratings")
    with pytest.raises(ArtifactError, match="m: ratings has length 5, and history 4"):
        TFLiteModel(mirror(history=SPECS["history"], ratings=longer), "m")
    of_ints = tf.TensorSpec([1, 4], tf.int32, "ratings")
    with pytest.raises(ArtifactError, match=r"m: ratings is int32 \[1, 4\], expected float32 \[1, length\]"):
        TFLiteModel(mirror(history=SPECS["history"], ratings=of_ints), "m")


@pytest.fixture
def recommend(pushed: Path, sign: Callable[..., None], content: bytes) -> Callable[..., dict[str, list[float]]]:
    """Recommends with the mirror as the model of a pushed folder; returns what it was given."""
    (pushed / "2" / "model.tflite").write_bytes(content)
    sign(top_k=3 * HISTORY_LENGTH)
    recommender = Recommender.load(pushed)
    assert recommender.activity_inputs == ("ratings", "times")

    def run(*args: Any, **values: Any) -> dict[str, list[float]]:
        found = recommender.recommend(*args, k=12, **values)
        return given((np.empty(0), np.array([one.score for one in found])))

    return run


def test_recommends_with_ratings_and_times(recommend: Callable[..., dict[str, list[float]]]) -> None:
    history = ["1005", "no such film", 1005]
    found = recommend(history, ratings=[4, NAN, 2], times=[10, 0, 30])
    assert found == {"history": [5, 1, 5, 0], "ratings": [4, None, 2, None], "times": [10, 0, 30, 0]}


def test_recommends_after_a_long_history(recommend: Callable[..., dict[str, list[float]]]) -> None:
    history = [1002, 1003, 1004, 1005, 1006, 1007]
    found = recommend(history, ratings=[1, 2, 3, 4, 5, 0.5], times=range(1, 7), deny=["1010"])
    assert found == {"history": [4, 5, 6, 7], "ratings": [3, 4, 5, 0.5], "times": [3, 4, 5, 6]}


def test_ratings_of_another_length_than_the_history(recommend: Callable[..., dict[str, list[float]]]) -> None:
    with pytest.raises(ArtifactError, match="1 ratings for a history of 2 items"):
        recommend([1002, 1003], ratings=[1])


def test_a_model_that_heeds_neither_ignores_both(pushed_once: Path) -> None:
    recommender = Recommender.load(pushed_once)
    assert recommender.activity_inputs == ()
    ask = functools.partial(recommender.recommend, [1005, 1006])
    assert ask(ratings=[1, NAN], times=[1, 2]) == ask()


@pytest.fixture
def of_log(pushed: Path, sign: Callable[..., None]) -> Recommender:
    """A mirror with a column of words and one of numbers as the model of a pushed folder."""
    length = [1, HISTORY_LENGTH]
    columns = {"device": tf.TensorSpec(length, tf.int32, "device"), "price": tf.TensorSpec(length, tf.float32, "price")}
    (pushed / "2" / "model.tflite").write_bytes(mirror(history=SPECS["history"], **columns))
    about = [
        {"feature": "device:token", "input": "device", "kind": "word", "words": ["phone", "7"]},
        {"feature": "price", "input": "price", "kind": "number"},
    ]
    sign(top_k=3 * HISTORY_LENGTH, activity_inputs=about)
    return Recommender.load(pushed)


def scores_of(recommender: Recommender, history: list, **values: Any) -> list[float | None]:
    found = recommender.recommend(history, k=12, **values)
    return [None if np.isnan(one.score) else one.score for one in found]


def test_words_become_their_indices(of_log: Recommender) -> None:
    assert of_log.activity_inputs == ("device", "price")
    given = scores_of(of_log, [1002, 1003, 1004], device=["phone", 7, "watch"], price=[1.5, None, 100_000])
    assert given[HISTORY_LENGTH:] == [2, 3, 1, 0, 1.5, None, 100_000, None]
    assert scores_of(of_log, [1002, 1003], device=[None, " phone "])[HISTORY_LENGTH:] == [0, 2, 0, 0, *[None] * 4]
    assert scores_of(of_log, [1002], device=[NAN], ratings=[5])[HISTORY_LENGTH:] == [0] * 4 + [None] * 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"devices": ["phone"]}, "does not look at devices, but at device, price"),
        ({"device": ["phone", "phone"]}, "2 device for a history of 1 items"),
        ({"device": "phone"}, "device: expected a list of words, found 'phone'"),
        ({"price": ["cheap"]}, "price are not numbers"),
    ],
)
def test_values_that_the_model_cannot_take(of_log: Recommender, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        of_log.recommend([1002], **values)
