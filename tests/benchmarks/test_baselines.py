"""Compares baselines with results by hand, with their libraries and with their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from implicit.nearest_neighbours import TFIDFRecommender

from benchmarks.baselines import (
    Ease,
    ItemKNN,
    Markov,
    Popularity,
    RecentPopularity,
    SessionKNN,
    TooLarge,
    interactions,
    last_items,
)
from benchmarks.ranking import rank_targets
from benchmarks.tuning import choose, describe

pytestmark = pytest.mark.filterwarnings("ignore:Method expects CSR input")
SIZE = 8
ALL = (
    Popularity(),
    ItemKNN("tfidf", 3),
    ItemKNN("cosine", 3),
    Ease(5.0),
    Markov(2.0),
    SessionKNN(2, "div", True),
)


@pytest.fixture(scope="module")
def train(make_timelines):
    random = np.random.default_rng(1)
    return make_timelines([(2 + random.permutation(SIZE - 2)[: random.integers(1, 6)]).tolist() for _ in range(40)])


def test_interactions_count_an_item_once_and_skip_unknown_items(make_timelines):
    matrix = interactions(make_timelines([[3, 3, 1, 2], []]), np.array([0, 1]), 5).toarray()
    np.testing.assert_array_equal(matrix, [[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])


def test_last_items_skip_unknown_items(make_timelines):
    timelines = make_timelines([[3, 4, 1], [], [1], [5, 2]])
    assert last_items(timelines, np.arange(4)).tolist() == [4, 0, 0, 2]


def test_markov_has_the_scores_computed_by_hand(make_timelines):
    # 2 -> 3 twice, 2 -> 4 once (the unknown item between is skipped), 3 -> 2 once; 3 is in 3 of 8 events.
    model = Markov(2.0).fit(make_timelines([[2, 3], [2, 1, 4], [], [3, 2, 3, 5]]), 6)
    scores = model.scores(make_timelines([[5, 2]]), np.array([0]))[0]
    np.testing.assert_allclose(scores[2:], [2 * 3 / 8 / 5, (2 + 2 * 3 / 8) / 5, (1 + 2 / 8) / 5, 2 / 8 / 5], rtol=1e-6)
    assert scores.sum() == pytest.approx(1)
    scores_without_history = model.scores(make_timelines([[]]), np.array([0]))[0]
    np.testing.assert_allclose(scores_without_history[2:], [3 / 8, 3 / 8, 1 / 8, 1 / 8], rtol=1e-6)
    assert model.most_common().tolist() == [0, 0, 3, 2, 0, 0]


def test_recent_popularity_counts_the_newest_events(make_timelines):
    train = make_timelines([[2, 2, 3], [4, 4, 5, 1]], times=[0, 1, 2, 3, 4, 5, 6])
    scores = RecentPopularity(0.5).fit(train, 6).scores(make_timelines([[2]]), np.array([0]))[0]
    assert np.argsort(-scores)[:4].tolist() == [4, 5, 0, 1] and scores[2] > scores[3]


def test_session_neighbours_have_the_scores_computed_by_hand(make_timelines):
    # Neighbours of [2, 3]: the second session shares both (1/2 + 1), the first 3 (1), the third 2 (1/2).
    train = make_timelines([[3, 4], [2, 3, 5], [2, 6], [7, 7]])
    history = make_timelines([[2, 3], []])
    scores = SessionKNN(3, "div", False).fit(train, SIZE).scores(history, np.array([0, 1]))
    np.testing.assert_allclose(scores[0, 2:], [1.5 + 0.25, 1 + 1.5, 1, 1.5, 0.25, 0], atol=1e-6)
    np.testing.assert_allclose(scores[1], 0, atol=1e-6)
    nearest = SessionKNN(1, "linear", False).fit(train, SIZE).scores(history, np.array([0]))[0]
    np.testing.assert_allclose(nearest[2:], [1.9, 1.9, 0, 1.9, 0, 0], atol=1e-6)
    rare = SessionKNN(1, "linear", True).fit(train, SIZE).scores(history, np.array([0]))[0]
    np.testing.assert_allclose(rare[[2, 5]], [1.9 * np.log(2), 1.9 * np.log(4)], atol=1e-5)


def test_repeats_are_ranked_if_they_are_recommended(make_timelines, train):
    repeat = make_timelines([[4, 2]], targets=[2])
    assert rank_targets(Popularity().fit(train, SIZE), repeat).ranks.tolist() == [SIZE]
    assert rank_targets(Popularity().fit(train, SIZE), repeat, repeats=True).ranks.tolist() == [0]


def test_ease_solves_the_ridge_regression_of_each_item(train, make_timelines):
    """Each column of the weights is the ridge regression of an item on all other items."""
    matrix = interactions(train, np.arange(len(train)), SIZE).toarray().astype(np.float64)
    weights = np.zeros((SIZE, SIZE))
    for item in range(SIZE):
        others = [other for other in range(SIZE) if other != item]
        x = matrix[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 5.0 * np.eye(SIZE - 1), x.T @ matrix[:, item])
    history = make_timelines([[2, 5]])
    scores = Ease(5.0).fit(train, SIZE).scores(history, np.array([0]))[0]
    np.testing.assert_allclose(scores, weights[2] + weights[5], atol=1e-6)


def test_ease_refuses_a_catalogue_that_does_not_fit_in_memory(train):
    with pytest.raises(TooLarge, match="1,000,000 are more than 30,000"):
        Ease(5.0).fit(train, 1_000_000)


def test_item_knn_has_the_scores_of_the_implicit_library(train):
    rows = np.arange(len(train))
    users = interactions(train, rows, SIZE).astype(np.float64)
    library = TFIDFRecommender(K=3, num_threads=1)
    library.fit(users, show_progress=False)
    scores = ItemKNN("tfidf", 3).fit(train, SIZE).scores(train, rows)
    for user in range(10):
        ids, expected = library.recommend(user, users[user], N=SIZE, filter_already_liked_items=False)
        np.testing.assert_allclose(scores[user, ids], expected, rtol=1e-5)


@pytest.mark.parametrize("baseline", ALL, ids=describe)
def test_an_empty_history_gets_the_popularity_list(baseline, train, make_timelines):
    # The vocabulary is in order of popularity, as Transform makes it.
    order = np.argsort(-np.bincount(train.items, minlength=SIZE)[2:], kind="stable")
    index = np.concatenate([[0, 1], np.argsort(order) + 2])
    by_popularity = make_timelines([index[train.items[a:b]].tolist() for a, b in itertools.pairwise(train.starts)])
    fitted = baseline.fit(by_popularity, SIZE)
    empty = make_timelines([[]] * (SIZE - 2), list(range(2, SIZE)))
    scores = fitted.scores(empty, np.arange(SIZE - 2))
    assert scores.shape == (SIZE - 2, SIZE) and scores.dtype == np.float32
    assert rank_targets(fitted, empty).ranks.tolist() == list(range(SIZE - 2))


def test_the_first_of_equal_candidates_is_chosen(make_timelines):
    train = make_timelines([[2, 3, 4]] * 4 + [[4, 2]] * 20)
    holdout = make_timelines([[2]] * 6, [3] * 6)
    baseline, eval_recall = choose("Markov", (Markov(1.0), Markov(2.0)), train, holdout, 5)
    assert describe(baseline) == "pseudo_count=1" and eval_recall == 1.0


def test_the_best_candidate_on_the_eval_split_is_chosen(make_timelines):
    train = make_timelines([[item, item + 1] for item in range(2, 30)] * 2 + [[2]] * 50)
    holdout = make_timelines([[item] for item in range(15, 25)], list(range(16, 26)))
    baseline, eval_recall = choose("mixed", (Popularity(), Markov(1.0)), train, holdout, 32)
    assert isinstance(baseline, Markov) and eval_recall == 1.0
