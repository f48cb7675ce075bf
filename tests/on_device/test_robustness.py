"""Invalid requests and files give a clear error, unknown items are ignored, and nothing crashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from on_device import ArtifactError, Recommender

NAN = float("nan")


@pytest.fixture(scope="module")
def recommender(pushed_once: Path) -> Recommender:
    return Recommender.load(pushed_once)


def error_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ArtifactError) as raised:
        call(*args, **kwargs)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ("Heat (1995)", "history: expected a list of item indices, found 'Heat (1995)'"),
        (None, "history: expected a list of item indices, found None"),
        (5, "history: expected a list of item indices, found 5"),
        ([[2, 3]], "history: expected a list of item indices, found [[2, 3]]"),
        ([[2], [3, 4]], "history: expected a list of item indices, found [[2], [3, 4]]"),
        (np.ones((9, 9)), "history: expected a list of item indices, found array([[1., 1., "),
        (["Heat (1995)"], "history: 'Heat (1995)' is not an item index; recommend() takes ids"),
        (["1005"], "history: '1005' is not an item index"),
        ([5, "6"], "history: '6' is not an item index"),
        ([5, None], "history: None is not an item index"),
        ([5, 6.0], "history: 6.0 is not an item index"),
        (np.array([5.5, 6]), "history: 5.5 is not an item index"),
        ([NAN], "history: nan is not an item index"),
        ([True, False], "history: True is not an item index"),
    ],
)
def test_a_history_that_is_not_a_list_of_indices_is_an_error(
    recommender: Recommender, history: Any, message: str
) -> None:
    assert error_of(recommender.rank_indices, history).startswith(message)
    assert error_of(recommender.rank_indices, [5], history).startswith(message.replace("history", "exclude", 1))


@pytest.mark.parametrize(
    "integer", [14, 2**31 - 1, 2**31, 2**40, 2**63 - 1, 2**63, 2**64, 10**30, -1, -2, -(2**31), -(2**40), -(2**70)]
)
def test_unknown_indices_are_ignored(recommender: Recommender, integer: int) -> None:
    expected = [array.tolist() for array in recommender.rank_indices([5])]
    for history in ([5, integer], [integer, 5], [integer, -3, 2**63, 5]):
        assert [array.tolist() for array in recommender.rank_indices(history)] == expected
    assert [array.tolist() for array in recommender.rank_indices([5], [integer])] == expected
    popular, _ = recommender.rank_indices([])
    assert recommender.rank_indices([integer])[0].tolist() == popular.tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64, object])
def test_arrays_of_any_integer_type_are_accepted(recommender: Recommender, dtype: Any) -> None:
    history = np.array([5, 9, 100], dtype)
    before = history.copy()
    assert recommender.rank_indices(history)[0].tolist() == recommender.rank_indices([5, 9])[0].tolist()
    assert (history == before).all()


@pytest.mark.parametrize("unknown", [2**40, 2**63, -1, np.uint64(2**63), "-1", ""])
def test_unknown_ids_are_ignored(recommender: Recommender, unknown: Any) -> None:
    expected = recommender.recommend([1005], k=3)
    assert recommender.recommend([1005, unknown], k=3, deny=[unknown]) == expected


@pytest.mark.parametrize("history", [None, 1005, 1.5, NAN, "1005", b"1005", np.array(3)])
def test_a_history_that_is_not_a_list_of_ids_is_an_error(recommender: Recommender, history: Any) -> None:
    assert error_of(recommender.recommend, history) == f"expected a list of ids or items, found {history!r}"
    assert error_of(recommender.recommend, [], deny=history).startswith("expected a list of ids or items")


@pytest.mark.parametrize("entry", [None, 1005.0, NAN, np.float32(1), True, b"1005", ("1005",), ["1005"]])
def test_an_entry_that_is_not_an_id_is_an_error(recommender: Recommender, entry: Any) -> None:
    assert error_of(recommender.recommend, [1005, entry]) == f"{entry!r} is neither an id nor an item"


@pytest.mark.parametrize("k", [None, "3", 1.5, NAN, True, [3], 2**63, -(2**63)])
def test_k_that_is_not_a_number_of_items_is_an_error(recommender: Recommender, k: Any) -> None:
    assert error_of(recommender.recommend, [], k=k) == f"k is {k!r}; expected an integer from 1 to 10"


@pytest.mark.parametrize("item", [2.7, 2**40, -1, 1, 14, "5", True, None])
def test_an_item_that_is_not_an_index_is_an_error(recommender: Recommender, item: Any) -> None:
    expected = f"item is {item!r}; expected an index from 2 to 13"
    assert error_of(recommender.similar_indices, item) == expected
    assert error_of(recommender.explain_indices, [5], item) == expected


@pytest.mark.parametrize("boost", [[("1005", 1)], [], np.ones(3), "1005"])
def test_a_boost_that_is_not_a_mapping_is_an_error(recommender: Recommender, boost: Any) -> None:
    assert error_of(recommender.recommend, [], boost=boost).startswith("boost: expected numbers by id, such as {'17': ")


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        ("x", "bias: expected 14 numbers, found 'x'"),
        ([[1, 2], [3]], "bias: expected 14 numbers, found [[1, 2], [3]]"),
        (np.zeros((14, 1)), "a bias of shape [14, 1] for 14 indices"),
        (np.array(1.0), "a bias of shape [] for 14 indices"),
    ],
)
def test_a_bias_of_another_shape_is_an_error(recommender: Recommender, bias: Any, message: str) -> None:
    assert error_of(recommender.recommend, [], bias=bias).endswith(f"model.tflite: {message}")


def test_numbers_of_numpy_are_accepted(recommender: Recommender) -> None:
    expected = recommender.recommend(["1005"], 3, boost={"1009": 2}, diversity=0.5)
    for number in (np.float16, np.float32, np.float64):
        options: Any = {"boost": {"1009": number(2)}, "diversity": number(0.5)}
        assert recommender.recommend(["1005"], np.int8(3), **options) == expected
    assert recommender.recommend([], 3, diversity=np.int64(1)) == recommender.recommend([], 3, diversity=1)


def test_an_index_beyond_the_catalogue_is_an_error(pushed: Path, change_items: Callable[..., None]) -> None:
    change_items(lambda items: items.pop())
    recommender = Recommender.load(pushed)
    assert [item.index for item in recommender.recommend([1002], k=10)] == list(range(3, 13))
    message = error_of(recommender.recommend, [1004], k=10)
    assert message.endswith("2/model.tflite: returned index 13, but items.json ends with 12; push or copy it again")


def test_an_index_beyond_the_model_is_an_error(pushed: Path, change_items: Callable[..., None]) -> None:
    def append(items: list[dict[str, Any]]) -> None:
        items += [{**items[-1], "index": index, "id": str(1000 + index)} for index in range(14, 1000)]

    change_items(append)
    recommender = Recommender.load(pushed)
    message = error_of(recommender.recommend, [1999])
    assert "2/model.tflite: inference failed (" in message and message.endswith("push or copy it again")
    assert recommender.recommend([1005], k=1)[0].index == 6  # The next answer is right again.


@pytest.mark.parametrize("step", [-1, 1])
def test_indices_that_are_off_by_one_are_an_error(pushed: Path, change_items: Callable[..., None], step: int) -> None:
    def shift(items: list[dict[str, Any]]) -> None:
        for item in items:
            item["index"] += step

    change_items(shift)
    assert error_of(Recommender.load, pushed).endswith(f"index {2 + step} where 2 is expected; push or copy it again")


@pytest.mark.parametrize(
    "broken", [{"genres": "Drama"}, {"year": "long ago"}, {"count": float("inf")}, {"count": NAN}, {"index": None}]
)
def test_an_entry_that_is_not_an_item_is_an_error(
    pushed: Path, change_items: Callable[..., None], broken: dict[str, Any]
) -> None:
    change_items(lambda items: items[3].update(broken))
    assert error_of(Recommender.load, pushed).endswith(
        "2/items.json: the entry for index 5 is not an item; push or copy it again"
    )


def test_info_of_deeply_nested_lists_is_an_error(pushed: Path) -> None:
    (pushed / "2" / "model_info.json").write_text("[" * 100_000, encoding="utf-8")
    assert "2/model_info.json: not JSON (" in error_of(Recommender.load, pushed)


@pytest.mark.parametrize("signed", [True, False])
def test_a_model_truncated_at_any_size_is_an_error(pushed: Path, sign: Callable[..., None], signed: bool) -> None:
    path = pushed / "2" / "model.tflite"
    content = path.read_bytes()
    expected = (
        "not a model file that this client can run (" if signed else "not the file that was pushed, or incomplete ("
    )
    for size in [0, 1, 8, *range(20, len(content), len(content) // 12), len(content) - 1]:
        path.write_bytes(content[:size])
        if signed:
            sign()
        assert f"2/model.tflite: {expected}" in error_of(Recommender.load, pushed)
