"""Every metric against a brute force over whole rankings; sums merge; the gate's thresholds are where they belong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components import features
from components.evaluation import METRICS, POPULARITY
from components.evaluator.eval_config import make_eval_config
from components.evaluator.metrics import RankingCombiner, RankingSums
from components.evaluator.settings import GateSettings

ITEMS, EXAMPLES = 60, 40


@pytest.fixture(scope="module")
def examples() -> list[dict[str, np.ndarray]]:
    """Outputs of the `rank` signature; some targets are unknown."""
    random = np.random.default_rng(4)
    outputs = []
    for number in range(EXAMPLES):
        ranks = random.integers(0, ITEMS, 2) if number % 7 else (ITEMS + 2, ITEMS + 2)
        outputs.append(
            {
                "target_rank": np.float32([ranks[0]]),
                "popularity_rank": np.float32([ranks[1]]),
                "top_ids": random.permutation(ITEMS)[:10] // 2 + 2,
                "popularity_top_ids": np.arange(2, 12),
                "num_items": np.int32([ITEMS]),
            }
        )
    return outputs


def brute_force(examples: list[dict[str, np.ndarray]], rank: str, ids: str) -> dict[str, float]:
    ranks = [float(example[rank][0]) for example in examples]
    found = {f"recall_at_{k}": sum(r < k for r in ranks) / len(ranks) for k in (1, 5, 10, 50)}
    found["ndcg_at_10"] = sum(1 / math.log2(r + 2) for r in ranks if r < 10) / len(ranks)
    found["mrr"] = sum(1 / (r + 1) for r in ranks if r < ITEMS) / len(ranks)
    found["coverage_at_10"] = len({int(i) for example in examples for i in example[ids]}) / ITEMS
    return found


def test_metrics_agree_with_a_brute_force(examples):
    sums = RankingSums()
    for example in examples:
        sums.add(example)
    metrics = sums.metrics()
    model = brute_force(examples, "target_rank", "top_ids")
    popularity = brute_force(examples, "popularity_rank", "popularity_top_ids")
    assert set(model) == set(METRICS)
    for name in METRICS:
        assert metrics[name] == pytest.approx(model[name]), name
        assert metrics[POPULARITY + name] == pytest.approx(popularity[name]), name
    assert metrics["recall_at_10_lift"] == pytest.approx(model["recall_at_10"] / popularity["recall_at_10"])
    p = model["recall_at_10"]
    assert metrics["recall_at_10_standard_error"] == pytest.approx(math.sqrt(p * (1 - p) / EXAMPLES))
    assert metrics["example_count"] == EXAMPLES


def test_parts_merge_to_the_whole(examples):
    combiner = RankingCombiner("")
    parts = []
    for part in np.array_split(np.arange(EXAMPLES), 3):
        accumulator = combiner.create_accumulator()
        for number in part:
            accumulator.add(examples[number])
        parts.append(accumulator)
    whole = RankingSums()
    for example in examples:
        whole.add(example)
    merged = combiner.merge_accumulators(parts)
    assert merged.metrics() == pytest.approx(whole.metrics())
    assert combiner.merge_accumulators([]).metrics()["example_count"] == 0


def test_lift_is_finite_where_the_popularity_list_never_hits():
    sums = RankingSums()
    base = {"top_ids": np.arange(10), "popularity_top_ids": np.arange(10), "num_items": np.int32([ITEMS])}
    sums.add({**base, "target_rank": np.float32([0]), "popularity_rank": np.float32([30])})
    assert 1 < sums.metrics()["recall_at_10_lift"] < math.inf


def test_a_list_longer_than_the_catalogue_covers_it_once():
    sums = RankingSums()
    filled_up = np.int32([4, 2, 3, 0, 1, -1])  # PADDING, UNKNOWN and no item
    ranks = {"target_rank": np.float32([0]), "popularity_rank": np.float32([1])}
    sums.add({**ranks, "top_ids": filled_up, "popularity_top_ids": filled_up, "num_items": np.int32([3])})
    assert sums.metrics()["coverage_at_10"] == 1
    assert sums.metrics()["popularity_coverage_at_10"] == 1


def test_the_gate_has_three_parts_on_the_whole_split():
    config = make_eval_config(GateSettings(min_recall_at_10=0.2, min_lift_over_popularity=3, max_regression=0.05))
    thresholds = config.metrics_specs[0].per_slice_thresholds
    (recall,) = thresholds["recall_at_10"].thresholds
    (lift,) = thresholds["recall_at_10_lift"].thresholds
    assert recall.threshold.value_threshold.lower_bound.value == pytest.approx(0.2)
    assert recall.threshold.change_threshold.relative.value == pytest.approx(-0.05)
    assert lift.threshold.value_threshold.lower_bound.value == pytest.approx(3)
    for threshold in (recall, lift):
        (spec,) = threshold.slicing_specs
        assert not spec.feature_keys and not spec.feature_values
    sliced = {key for spec in config.slicing_specs for key in spec.feature_keys}
    assert sliced == {features.HISTORY_BUCKET, features.POPULARITY_BUCKET}
