"""Every metric compared with a brute force over complete rankings, merging of sums, and the thresholds of the gate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components import features
from components.errors import StepError
from components.evaluation import ERROR, MARKOV, METRICS, POPULARITY
from components.evaluator.eval_config import make_eval_config
from components.evaluator.metrics import RankingCombiner, RankingSums
from components.evaluator.settings import GateSettings

ITEMS, EXAMPLES = 60, 40


def user_of(number: int) -> bytes:
    """Returns the user of an example; users have one to five targets."""
    return b"%d" % (number**0.7)


@pytest.fixture(scope="module")
def examples() -> list[dict[str, np.ndarray]]:
    """Outputs of the `rank` signature; some targets are unknown."""
    random = np.random.default_rng(4)
    outputs = []
    for number in range(EXAMPLES):
        ranks = random.integers(0, ITEMS, 3) if number % 7 else [ITEMS + 2] * 3
        outputs.append(
            {
                "target_rank": np.float32([ranks[0]]),
                "popularity_rank": np.float32([ranks[1]]),
                "markov_rank": np.float32([ranks[2]]),
                "top_ids": random.permutation(ITEMS)[:10] // 2 + 2,
                "popularity_top_ids": np.arange(2, 12),
                "markov_top_ids": np.arange(12, 22),
                "num_items": np.int32([ITEMS]),
            }
        )
    return outputs


def brute_force(examples: list[dict[str, np.ndarray]], rank: str, ids: str) -> dict[str, float]:
    ranks = [float(example[rank][0]) for example in examples]
    metrics = {f"recall_at_{k}": sum(r < k for r in ranks) / len(ranks) for k in (1, 5, 10, 50)}
    metrics["ndcg_at_10"] = sum(1 / math.log2(r + 2) for r in ranks if r < 10) / len(ranks)
    metrics["mrr"] = sum(1 / (r + 1) for r in ranks if r < ITEMS) / len(ranks)
    metrics["coverage_at_10"] = len({int(i) for example in examples for i in example[ids]}) / ITEMS
    return metrics


def sums_of(examples: list[dict[str, np.ndarray]]) -> RankingSums:
    sums = RankingSums()
    for number, example in enumerate(examples):
        sums.add(user_of(number), example)
    return sums


def test_metrics_agree_with_a_brute_force(examples):
    metrics = sums_of(examples).metrics()
    model = brute_force(examples, "target_rank", "top_ids")
    popularity = brute_force(examples, "popularity_rank", "popularity_top_ids")
    markov = brute_force(examples, "markov_rank", "markov_top_ids")
    assert set(model) == set(METRICS)
    for name in METRICS:
        assert metrics[name] == pytest.approx(model[name]), name
        assert metrics[POPULARITY + name] == pytest.approx(popularity[name]), name
        assert metrics[MARKOV + name] == pytest.approx(markov[name]), name
    assert metrics["recall_at_10_lift"] == pytest.approx(model["recall_at_10"] / popularity["recall_at_10"])
    assert metrics["recall_at_10_lift_over_markov"] == pytest.approx(model["recall_at_10"] / markov["recall_at_10"])
    assert metrics["example_count"] == EXAMPLES


def test_standard_errors_are_over_users_and_not_over_targets(examples):
    """Compares with the jackknife: the change of the mean if one user is left out, to first order."""
    metrics = sums_of(examples).metrics()
    users = np.array([user_of(number) for number in range(EXAMPLES)])
    assert len(set(users)) < EXAMPLES / 2
    hits = np.array([float(example["target_rank"][0] < 10) for example in examples])
    moves = [(hits[users == user] - hits.mean()).sum() / EXAMPLES for user in set(users)]
    assert metrics["recall_at_10" + ERROR] == pytest.approx(math.sqrt(sum(move**2 for move in moves)))
    binomial = math.sqrt(hits.mean() * (1 - hits.mean()) / EXAMPLES)
    assert metrics["recall_at_10" + ERROR] != pytest.approx(binomial, rel=0.01)


def test_merged_sums_of_parts_have_the_metrics_of_all_examples(examples):
    combiner = RankingCombiner()
    parts = []
    for part in np.array_split(np.arange(EXAMPLES), 3):
        accumulator = combiner.create_accumulator()
        for number in part:
            accumulator.add(user_of(number), examples[number])
        parts.append(accumulator)
    merged = combiner.merge_accumulators(parts)
    assert merged.metrics() == pytest.approx(sums_of(examples).metrics())
    assert combiner.merge_accumulators([]).metrics()["example_count"] == 0


def test_a_model_saved_by_an_older_version_is_an_error(examples):
    old = {name: value for name, value in examples[0].items() if not name.startswith("markov")}
    with pytest.raises(StepError, match="no markov_rank: an older version saved it; run again from the Trainer on"):
        RankingSums().add(b"1", old)
    RankingSums().add(b"1", examples[0], old)  # It can still be a baseline.


def test_lift_is_finite_if_the_popularity_list_has_no_hits():
    sums = RankingSums()
    ids = {name: np.arange(10) for name in ("top_ids", "popularity_top_ids", "markov_top_ids")}
    ranks = {"target_rank": np.float32([0]), "popularity_rank": np.float32([30]), "markov_rank": np.float32([30])}
    sums.add(b"1", {**ids, **ranks, "num_items": np.int32([ITEMS])})
    for name in ("recall_at_10_lift", "recall_at_10_lift_over_markov"):
        assert 1 < sums.metrics()[name] < math.inf


def test_padding_of_a_list_does_not_count_as_coverage():
    sums = RankingSums()
    filled_up = np.int32([4, 2, 3, 0, 1, -1])  # PADDING, UNKNOWN and no item
    ranks = {"target_rank": np.float32([0]), "popularity_rank": np.float32([1]), "markov_rank": np.float32([1])}
    ids = {name: filled_up for name in ("top_ids", "popularity_top_ids", "markov_top_ids")}
    sums.add(b"1", {**ranks, **ids, "num_items": np.int32([3])})
    assert sums.metrics()["coverage_at_10"] == 1
    assert sums.metrics()["popularity_coverage_at_10"] == 1


def test_thresholds_are_for_the_entire_split():
    settings = GateSettings(min_targets=70, min_recall_at_10=0.2, min_lift_over_popularity=3, min_lift_over_markov=1.5)
    config = make_eval_config(settings)
    thresholds = {name: slices.thresholds[0] for name, slices in config.metrics_specs[0].per_slice_thresholds.items()}
    for name, bound in (
        ("example_count", 70),
        ("recall_at_10", 0.2),
        ("recall_at_10_lift", 3),
        ("recall_at_10_lift_over_markov", 1.5),
    ):
        assert thresholds[name].threshold.value_threshold.lower_bound.value == pytest.approx(bound)
    assert thresholds["recall_at_10_at_most"].threshold.change_threshold.absolute.value == 0
    for threshold in thresholds.values():
        (spec,) = threshold.slicing_specs
        assert not spec.feature_keys and not spec.feature_values
    sliced = {key for spec in config.slicing_specs for key in spec.feature_keys}
    assert sliced == {features.HISTORY_BUCKET, features.POPULARITY_BUCKET}
