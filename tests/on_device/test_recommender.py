"""Results of the client, compared with results that are computed by hand."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import on_device
from on_device import ArtifactError, Recommendation, Recommender
from on_device.diversity import diversify


@pytest.fixture(scope="module")
def recommender(pushed_once: Path) -> Recommender:
    return Recommender.load(pushed_once)


def _indices(recommendations: list[Recommendation]) -> list[int]:
    return [recommendation.index for recommendation in recommendations]


def test_recommend_returns_the_films_after_the_last_film(recommender: Recommender) -> None:
    assert recommender.recommend(["1002"], k=2) == [
        Recommendation(3, "1003", "Toy Story 2 (1999)", 1993, ("Drama", "War"), 12.0),
        Recommendation(4, "1004", "Léon (1994)", None, ("Drama", "War"), 11.0),
    ]


def test_recommendations_have_python_types(recommender: Recommender) -> None:
    (recommendation,) = recommender.recommend([], k=1)
    assert (type(recommendation.index), type(recommendation.score)) == (int, float)


def test_ids_numbers_and_items_name_the_same_item(recommender: Recommender) -> None:
    heat = recommender.catalogue.titled("Heat (1995)")
    answers = [_indices(recommender.recommend([entry])) for entry in (heat, "1005", 1005, np.int64(1005))]
    assert answers == [[6, 7, 8, 9, 10, 11, 12, 13, 2, 3]] * 4


def test_items_of_the_history_are_not_recommended(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1007, 1008, 1006, 1005])) == [9, 10, 11, 12, 13, 2, 3, 4]


def test_the_last_items_of_a_long_history_count(recommender: Recommender) -> None:
    # The model sees the last four; 1013 and 1006 before them are not recommended either.
    assert _indices(recommender.recommend([1013, 1006, 1009, 1010, 1011, 1005])) == [7, 8, 12, 2, 3, 4]
    assert _indices(recommender.recommend([1013, 1006] * 500 + [1009, 1010, 1011, 1005])) == [7, 8, 12, 2, 3, 4]


def test_older_items_are_recommended_by_a_model_that_recommends_seen_items(recommender):
    info = {**recommender.artifact.info, "recommends_seen": True}
    repeating = Recommender(dataclasses.replace(recommender.artifact, info=info))
    assert _indices(repeating.recommend([1013, 1006, 1009, 1010, 1011, 1005])) == [6, 7, 8, 12, 13, 2, 3, 4]


def test_popular_items_are_recommended_for_an_empty_history(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([], k=4)) == [2, 3, 4, 5]


def test_unknown_items_are_ignored(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1005, "no such film", 99], k=2)) == [6, 7]
    assert _indices(recommender.recommend(["no such film"], k=2)) == [2, 3]


def test_allow_restricts_the_recommendations(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1005], k=10, allow=["1009", "1004", 1005, "no such film"])) == [9, 4]
    assert recommender.recommend([1005], allow=[]) == []
    assert _indices(recommender.recommend([1005], k=10, allow=["1009", "1004"], deny=["1009"])) == [4]


def test_boost_is_added_to_the_scores(recommender: Recommender) -> None:
    plain = recommender.recommend([1005], k=3)
    last = recommender.recommend([1005], k=10)[-1]
    boosted = recommender.recommend([1005], k=3, boost={last.id: 100, "no such film": 5.0})
    assert _indices(boosted) == [last.index, *_indices(plain)[:2]]
    assert boosted[0].score == pytest.approx(last.score + 100)
    demoted = recommender.recommend([1005], k=3, boost={plain[0].id: -100.0})
    assert _indices(demoted)[:2] == _indices(plain)[1:]
    assert _indices(recommender.recommend([1005], k=10, allow=["1004"], boost={"1009": 1000})) == [4]


def test_a_bias_replaces_allow_and_boost(recommender: Recommender) -> None:
    options: dict[str, Any] = {"allow": ["1009", "1004", "1003"], "boost": {"1003": 2.5}}
    bias = recommender.make_bias(**options)
    assert recommender.recommend([1005], bias=bias) == recommender.recommend([1005], **options)
    assert recommender.similar(1005, bias=bias) == recommender.similar(1005, **options)
    with pytest.raises(ArtifactError, match="bias replaces allow and boost"):
        recommender.recommend([1005], bias=bias, allow=["1009"])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1001, "2", None, True])
def test_an_invalid_boost_is_an_error(recommender: Recommender, value: Any) -> None:
    with pytest.raises(ArtifactError, match=r"^boost of '1009' is .*; expected a number up to 1000$"):
        recommender.recommend([1005], boost={"1009": value})


def test_an_invalid_bias_is_an_error(recommender: Recommender) -> None:
    with pytest.raises(ArtifactError, match="a bias of 3 values for 14 indices"):
        recommender.rank_indices([5], bias=np.zeros(3, np.float32))
    with pytest.raises(ArtifactError, match="the bias has values that are not finite"):
        recommender.rank_indices([5], bias=np.full(14, np.nan, np.float32))


def test_deny_excludes_items(recommender: Recommender) -> None:
    assert _indices(recommender.recommend([1005], k=3, deny=["1006", "1008", "no such film"])) == [7, 9, 10]


def test_fewer_than_k_items_are_returned_if_no_more_are_allowed(recommender: Recommender) -> None:
    all_but_two = [item.id for item in recommender.items if item.index not in (4, 9)]
    assert _indices(recommender.recommend([1005], k=10, deny=all_but_two)) == [9, 4]
    assert recommender.recommend([item.id for item in recommender.items]) == []


@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_out_of_range_is_an_error(recommender: Recommender, k: int) -> None:
    with pytest.raises(ArtifactError, match=f"^k is {k}; expected an integer from 1 to 10$"):
        recommender.recommend([], k=k)


def test_a_title_of_two_items_finds_the_more_popular_item(pushed: Path, change_items: Callable[..., None]) -> None:
    change_items(lambda items: items[7].update(title="Heat (1995)"))
    item = Recommender.load(pushed).catalogue.titled("Heat (1995)")
    assert item is not None
    assert item.index == 5


def test_rank_indices_returns_indices_and_scores(recommender: Recommender) -> None:
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
    failed = []

    def recommend(index: int) -> None:
        expected = [2 + (index - 1 + step) % 12 for step in range(3)]
        for turn in range(200):
            exclude = [] if turn % 2 else [1000 + 2 + (index + 8) % 12]  # An item far down the list: changes no answer.
            if _indices(recommender.recommend([1000 + index], 3, deny=exclude)) != expected:
                failed.append(index)

    threads = [threading.Thread(target=recommend, args=(index,)) for index in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_the_client_imports_neither_tensorflow_nor_the_pipeline() -> None:
    root = Path(on_device.__file__).parents[1]
    script = "import sys, on_device.__main__; print(*{name.partition('.')[0] for name in sys.modules})"
    process = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    loaded = set(process.stdout.split())
    assert {"on_device", "numpy", "ai_edge_litert"} <= loaded
    assert not loaded & {"tensorflow", "tfx", "keras", "pydantic", "components", "pipeline", "data"}


def test_recommend_takes_ids_and_not_titles(pushed: Path, change_items: Callable[..., None]) -> None:
    change_items(lambda items: items[7].update(title="1005"))
    recommender = Recommender.load(pushed)
    assert _indices(recommender.recommend(["1005"], k=1)) == [6]
    titled = recommender.catalogue.titled("1005")
    assert titled is not None and titled.id == "1009"
    assert _indices(recommender.recommend([titled], k=1)) == [10]


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("léon", ["Léon (1994)"]),
        ("LEON", ["Léon (1994)"]),
        ("Le\u0301on", ["Léon (1994)"]),
        ("story toy", ["Toy Story (1995)", "Toy Story 2 (1999)"]),
        ("toy sto 2", ["Toy Story 2 (1999)"]),
        ("oy", []),
        ("", None),
    ],
)
def test_search_finds_items_by_words_of_their_titles(
    recommender: Recommender, text: str, titles: list[str] | None
) -> None:
    results = [item.title for item in recommender.catalogue.search(text)]
    assert results == ([item.title for item in recommender.items] if titles is None else titles)


def test_the_model_is_mapped_into_memory(recommender: Recommender) -> None:
    assert recommender.artifact.model == recommender.artifact.folder / "model.tflite"
    assert recommender.artifact.size_bytes == recommender.artifact.model.stat().st_size
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("only Linux lists mapped files")
    assert str(recommender.artifact.model) in maps.read_text(encoding="utf-8")


def test_a_pickled_recommender_gives_the_same_recommendations(
    recommender: Recommender, tmp_path: Path, pushed: Path
) -> None:
    expected = recommender.recommend([1005], k=3)
    content = pickle.dumps(recommender)
    assert len(content) < 1000 and pickle.loads(content).recommend([1005], k=3) == expected
    in_memory = Recommender(dataclasses.replace(recommender.artifact, model=recommender.artifact.model.read_bytes()))
    assert pickle.loads(pickle.dumps(in_memory)).recommend([1005], k=3) == expected
    content = pickle.dumps(Recommender.load(pushed))
    shutil.rmtree(pushed)
    with pytest.raises(ArtifactError, match="no such folder"):
        pickle.loads(content)


def test_similar_returns_the_nearest_items(recommender: Recommender) -> None:
    similar = recommender.similar(1005, k=3)
    assert _indices(similar) == [4, 6, 3]
    assert similar[0].score == 1.0
    assert _indices(recommender.similar(1005, k=3, deny=[1004], allow=[1004, 1006, 1010])) == [6, 10]
    assert _indices(recommender.similar(1005, k=1, boost={1011: 1.0})) == [11]
    with pytest.raises(ArtifactError, match=r"items\.json: no item with the id 'nothing'$"):
        recommender.similar("nothing")


def test_because_returns_the_contribution_of_each_item(recommender: Recommender) -> None:
    reasons = recommender.because([1005, "no such film", 1009, 1003], 1006)
    assert [(reason.item.id, reason.contribution) for reason in reasons] == [("1003", 10.0)]
    assert recommender.because(["no such film"], 1006) == []
    # 1003 is not among the last four.
    assert [reason.item.id for reason in recommender.because([1003, 1005, 1006, 1007, 1008], 1009)] == ["1008"]


def test_a_missing_signature_is_an_error_only_if_it_is_needed(
    pushed: Path, sign: Any, convert: Callable[..., bytes]
) -> None:
    (pushed / "2" / "model.tflite").write_bytes(convert(signatures=("recommend",)))
    sign()
    recommender = Recommender.load(pushed)
    assert recommender.signatures == ("recommend",) and _indices(recommender.recommend([1005], k=1)) == [6]
    message = r"has no signature '(similar|explain)', only recommend; add \1 to pusher.signatures and push again$"
    for call in (
        lambda: recommender.similar(1005),
        lambda: recommender.because([1005], 1006),
        lambda: recommender.recommend([1005], diversity=0.5),
    ):
        with pytest.raises(ArtifactError, match=message):
            call()


def test_diversity_makes_recommendations_less_similar(recommender: Recommender) -> None:
    plain = _indices(recommender.recommend([1005], k=3))
    assert plain == [6, 7, 8] and _indices(recommender.recommend([1005], k=3, diversity=0.0)) == plain
    # Neighbours on the ring are similar, so the second item is the one that is farthest from the first.
    assert _indices(recommender.recommend([1005], k=3, diversity=1.0)) == [6, 12, 9]
    assert set(_indices(recommender.recommend([1005], k=10, diversity=0.5))) == set(range(2, 14)) - {5, 4}
    for invalid in (-0.1, 1.1, float("nan"), "0.5", True):
        with pytest.raises(ArtifactError, match="expected a number from 0 to 1"):
            recommender.recommend([1005], diversity=invalid)


def test_diversify_ranks_by_maximal_marginal_relevance() -> None:
    scores = np.array([3.0, 2.5, 2.0, 1.0], np.float32)
    cosines = np.array([[1, 0.9, 0.1, 0], [0.9, 1, 0.2, 0], [0.1, 0.2, 1, 0.5], [0, 0, 0.5, 1]], np.float32)
    expected = {0.0: [0, 1, 2, 3], 0.4: [0, 2, 1, 3], 1.0: [0, 3, 2, 1]}
    for diversity, positions in expected.items():
        assert diversify(scores, lambda position: cosines[position], 4, diversity) == positions
    assert diversify(scores[:0], lambda position: cosines[position], 4, 0.5) == []
    assert diversify(np.ones(3, np.float32), lambda position: cosines[position][:3], 2, 0.5) == [0, 2]


def test_a_catalogue_without_counts_is_accepted(pushed: Path, change_items: Callable[..., None]) -> None:
    change_items(lambda items: [item.pop("count") for item in items])
    recommender = Recommender.load(pushed)
    assert len(recommender.recommend([], 3)) == 3
    assert recommender.catalogue.suggest(recommender.items[0].title)[0] == recommender.items[0]
