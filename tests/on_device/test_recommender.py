"""Answers of the client, known by hand."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import on_device
from on_device import ArtifactError, Recommendation, Recommender


@pytest.fixture(scope="module")
def recommender(pushed_once: Path) -> Recommender:
    return Recommender.load(pushed_once)


def _indices(found: list[Recommendation]) -> list[int]:
    return [one.index for one in found]


def test_whole_answer(recommender: Recommender) -> None:
    assert recommender.recommend(["Toy Story (1995)"], k=2) == [
        Recommendation(3, "1003", "Toy Story 2 (1999)", 1993, ("Drama", "War"), 12.0),
        Recommendation(4, "1004", "Léon (1994)", None, ("Drama", "War"), 11.0),
    ]


def test_answers_hold_python_values(recommender: Recommender) -> None:
    (found,) = recommender.recommend([], k=1)
    assert (type(found.index), type(found.score)) == (int, float)


def test_titles_ids_and_numbers_name_the_same_item(recommender: Recommender) -> None:
    answers = [_indices(recommender.recommend([wanted])) for wanted in ("Heat (1995)", "1005", 1005, np.int64(1005))]
    assert answers == [[6, 7, 8, 9, 10, 11, 12, 13, 2, 3]] * 4


def test_nothing_of_the_history_comes_back(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1007, 1008, 1006, 1005])) == [9, 10, 11, 12, 13, 2, 3, 4]


def test_last_items_of_a_long_history_count(recommender: Recommender) -> None:
    # Four are seen by the model; 1013 and 1006 before them are not recommended either.
    assert _indices(recommender.recommend([1013, 1006, 1009, 1010, 1011, 1005])) == [7, 8, 12, 2, 3, 4]
    assert _indices(recommender.recommend([1013, 1006] * 500 + [1009, 1010, 1011, 1005])) == [7, 8, 12, 2, 3, 4]


def test_items_older_than_the_history_come_back_where_repeats_are_recommended(recommender):
    info = {**recommender.artifact.info, "recommends_seen": True}
    again = Recommender(dataclasses.replace(recommender.artifact, info=info))
    assert _indices(again.recommend([1013, 1006, 1009, 1010, 1011, 1005])) == [6, 7, 8, 12, 13, 2, 3, 4]


def test_empty_history_gives_the_popular_list(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([], k=4)) == [2, 3, 4, 5]


def test_unknown_items_are_tolerated(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1005, "no such film", 99], k=2)) == [6, 7]
    assert _indices(recommender.recommend(["no such film"], k=2)) == [2, 3]


def test_allow(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1005], k=10, allow=["1009", "1004", 1005, "no such film"])) == [9, 4]
    assert recommender.recommend([1005], allow=[]) == []
    assert _indices(recommender.recommend([1005], k=10, allow=["1009", "1004"], deny=["1009"])) == [4]


def test_boost(recommender: Recommender) -> None:
    plain = recommender.recommend([1005], k=3)
    last = recommender.recommend([1005], k=10)[-1]
    boosted = recommender.recommend([1005], k=3, boost={last.id: 100, "no such film": 5.0})
    assert _indices(boosted) == [last.index, *_indices(plain)[:2]]
    assert boosted[0].score == pytest.approx(last.score + 100)
    demoted = recommender.recommend([1005], k=3, boost={plain[0].title: -100.0})
    assert _indices(demoted)[:2] == _indices(plain)[1:]
    assert _indices(recommender.recommend([1005], k=10, allow=["1004"], boost={"1009": 1000})) == [4]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1001, "2", None, True])
def test_boosts_that_are_no_numbers(recommender: Recommender, value: Any) -> None:
    with pytest.raises(ArtifactError, match=r"^boost of '1009' is .*; expected a number up to 1000$"):
        recommender.recommend([1005], boost={"1009": value})


def test_a_bias_of_another_size(recommender: Recommender) -> None:
    with pytest.raises(ArtifactError, match="a bias of 3 values for 14 indices"):
        recommender.rank_indices([5], bias=np.zeros(3, np.float32))
    with pytest.raises(ArtifactError, match="the bias has values that are no numbers"):
        recommender.rank_indices([5], bias=np.full(14, np.nan, np.float32))


def test_deny(recommender: Recommender) -> None:
    found = recommender.recommend([1005], k=3, deny=["1006", "Film 8 (2000)", "no such film"])
    assert _indices(found) == [7, 9, 10]


def test_fewer_than_k_remain(recommender: Recommender) -> None:
    everything_but_two = [item.id for item in recommender.items if item.index not in (4, 9)]
    assert _indices(recommender.recommend([1005], k=10, deny=everything_but_two)) == [9, 4]
    assert recommender.recommend([item.id for item in recommender.items]) == []


@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_out_of_range(recommender: Recommender, k: int) -> None:
    with pytest.raises(ArtifactError, match=f"^k is {k}; this model answers 1 to 10$"):
        recommender.recommend([], k=k)


@pytest.mark.parametrize("history", ["1005", [1.5], [None], [True], [["1005"]]])
def test_history_that_is_none(recommender: Recommender, history: Any) -> None:
    with pytest.raises(ArtifactError, match=r"neither an id nor a title|expected a list"):
        recommender.recommend(history)


def test_first_of_two_titles_counts(pushed: Path, sign: Any) -> None:
    items = pushed / "2" / "items.json"
    items.write_text(items.read_text(encoding="utf-8").replace("Film 9 (2000)", "Heat (1995)"), encoding="utf-8")
    sign()
    found = Recommender.load(pushed).find("Heat (1995)")
    assert found is not None
    assert found.index == 5


def test_rank_indices(recommender: Recommender) -> None:
    ids, scores = recommender.rank_indices(np.array([9, 9, 9, 0, 5]), np.array([6, 7, 8, 0, 1, 10]))
    assert (ids.dtype, scores.dtype) == (np.int32, np.float32)
    assert ids.tolist() == [11, 12, 13, 2, 3, 4]
    assert scores.tolist() == [7, 6, 5, 4, 3, 2]


def test_answers_are_copies(recommender: Recommender) -> None:
    ids, _ = recommender.rank_indices(np.array([5]))
    before = ids.copy()
    recommender.rank_indices(np.array([9]))
    assert (ids == before).all()


def test_threads_get_their_own_answers(recommender: Recommender) -> None:
    wrong = []

    def ask(index: int) -> None:
        expected = [2 + (index - 1 + step) % 12 for step in range(3)]
        for turn in range(200):
            exclude = [] if turn % 2 else [1000 + 2 + (index + 8) % 12]  # The last but two: changes no answer.
            if _indices(recommender.recommend([1000 + index], 3, deny=exclude)) != expected:
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_imports_neither_tensorflow_nor_the_pipeline() -> None:
    root = Path(on_device.__file__).parents[1]
    script = "import sys, on_device.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"on_device", "numpy", "ai_edge_litert"} <= loaded
    assert not loaded & {"tensorflow", "tfx", "keras", "pydantic", "components", "pipeline", "data"}
