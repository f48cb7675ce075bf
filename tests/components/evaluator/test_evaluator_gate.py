"""TFX's own Evaluator on a tiny model: the metrics of every slice, and each condition of the gate."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts
from tfx.types import standard_component_specs as specs
from tfx.utils import proto_utils

from components import features
from components.evaluation import ERROR, MARKOV, METRICS, POPULARITY, read_metrics
from components.evaluator.component import MAX_USERS, Executor
from components.evaluator.eval_config import make_eval_config
from components.evaluator.gate import Condition, Verdict, read_conditions, read_verdict
from components.evaluator.settings import GateSettings
from components.evaluator.user_sample import sampled_users
from pipeline.beam_runners import LOCAL_ARGUMENTS

ITEMS = 60
# A gate that only compares with the baseline.
OPEN = {"min_targets": 0, "min_recall_at_10": 0, "min_lift_over_popularity": 0, "min_lift_over_markov": 0}
HISTORY_LABELS, POPULARITY_LABELS = ("2-4", "200+"), ("head", "middle", "tail")
# Of 48 targets, the model has 10 in its top 10, or 6 if they are 4 ranks lower; the popularity list has 5, Markov 8.
RANKS = np.arange(48)
POPULARITY_RANKS = (RANKS * 7 + 3) % 48 + 5
MARKOV_RANKS = (RANKS * 11 + 3) % 48 + 2
USERS = RANKS // 2  # two targets each


class ShiftedRanks(tf.Module):
    """Returns the ranks in the raw examples, `shift` places lower."""

    def __init__(self, shift: int):
        super().__init__()
        self.shift = tf.Variable(shift, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def rank(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {
            features.TARGET_TIMESTAMP: tf.io.FixedLenFeature([], tf.int64),
            features.TARGET_RATING: tf.io.FixedLenFeature([], tf.float32),
            features.RATING: tf.io.FixedLenFeature([], tf.float32),
        }
        parsed = tf.io.parse_example(examples, spec)
        ranks = tf.cast(parsed[features.TARGET_TIMESTAMP] + self.shift, tf.int32)
        popular = tf.range(features.FIRST_INDEX, features.FIRST_INDEX + 10)
        return {
            "target_rank": tf.cast(ranks, tf.float32),
            "popularity_rank": parsed[features.TARGET_RATING],
            "markov_rank": parsed[features.RATING],
            "top_ids": ranks[:, None] % 30 + popular,
            "popularity_top_ids": tf.tile(popular[None, :], [tf.shape(ranks)[0], 1]),
            "markov_top_ids": tf.tile(popular[None, :], [tf.shape(ranks)[0], 1]),
            "num_items": tf.fill(tf.shape(ranks), ITEMS),
        }


def labels(number: int) -> tuple[str, str]:
    return HISTORY_LABELS[number % 2], POPULARITY_LABELS[number % 3]


def raw_example(number: int) -> bytes:
    """Returns an example with the features that `rank` and the Evaluator's slices need."""
    values = {
        features.TARGET_ID: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"42"])),
        features.USER_ID: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"user %d" % USERS[number]])),
        features.TARGET_TIMESTAMP: tf.train.Feature(int64_list=tf.train.Int64List(value=[RANKS[number]])),
        features.TARGET_RATING: tf.train.Feature(float_list=tf.train.FloatList(value=[POPULARITY_RANKS[number]])),
        features.RATING: tf.train.Feature(float_list=tf.train.FloatList(value=[MARKOV_RANKS[number]])),
    }
    for name, label in zip((features.HISTORY_BUCKET, features.POPULARITY_BUCKET), labels(number), strict=True):
        values[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.encode()]))
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()


def expected_metrics(shift: int, chosen: np.ndarray) -> dict[str, float]:
    """Computes the metrics of a slice by brute force."""
    metrics: dict[str, float] = {}
    tops = (RANKS[chosen] + shift)[:, None] % 30 + np.arange(10)
    lists = {"": (RANKS[chosen] + shift, tops), POPULARITY: (POPULARITY_RANKS[chosen], np.arange(10))}
    lists[MARKOV] = (MARKOV_RANKS[chosen], np.arange(10))
    for prefix, (ranks, ids) in lists.items():
        values = {f"recall_at_{k}": (ranks < k).astype(float) for k in (1, 5, 10, 50)}
        values["ndcg_at_10"] = np.where(ranks < 10, 1 / np.log2(ranks + 2), 0)
        values["mrr"] = np.where(ranks < ITEMS, 1 / (ranks + 1), 0)
        for name, value in values.items():
            metrics[f"{prefix}{name}"] = value.mean()
            metrics[f"{prefix}{name}{ERROR}"] = error_over_users(value, USERS[chosen])
        metrics[f"{prefix}coverage_at_10"] = len(np.unique(ids)) / ITEMS
    return metrics


def error_over_users(values: np.ndarray, users: np.ndarray) -> float:
    """Returns the standard error of a mean over users."""
    residuals = [sum(values[users == user] - values.mean()) for user in np.unique(users)]
    return float(np.sqrt(np.square(residuals).sum()) / len(values))


Evaluate = Callable[..., tuple[str, Verdict]]


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Returns a function that runs the Evaluator, once for each model, baseline and gate."""
    root = tmp_path_factory.mktemp("evaluator")
    split = root / "examples" / f"Split-{features.TEST}"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001.gz"), "GZIP") as writer:
        for number in range(len(RANKS)):
            writer.write(raw_example(number))
    examples = standard_artifacts.Examples()
    examples.uri = str(split.parent)
    examples.split_names = artifact_utils.encode_split_names([features.TEST])

    @functools.cache
    def save(shift: int) -> str:
        module, folder = ShiftedRanks(shift), root / f"model_{shift}"
        tf.saved_model.save(module, str(folder / "Format-Serving"), signatures={"rank": module.rank})
        return str(folder)

    def model(shift: int, number: int) -> standard_artifacts.Model:
        artifact = standard_artifacts.Model()
        artifact.uri, artifact.id = save(shift), number
        return artifact

    @functools.cache
    def run(shift: int, baseline: int | None = None, **gate: float) -> tuple[str, Verdict]:
        inputs = {specs.EXAMPLES_KEY: [examples], specs.MODEL_KEY: [model(shift, 2)]}
        if baseline is not None:
            inputs[specs.BASELINE_MODEL_KEY] = [model(baseline, 1)]
        folder = tmp_path_factory.mktemp("run")
        evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
        evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
        properties = {
            specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(make_eval_config(GateSettings(**{**OPEN, **gate}))),
            specs.EXAMPLE_SPLITS_KEY: json.dumps([features.TEST]),
            MAX_USERS: int(gate.get(MAX_USERS, 0)),
        }
        # The direct runner would look for a binary to download.
        context = Executor.Context(list(LOCAL_ARGUMENTS), str(folder / "tmp"), unique_id="1")
        outputs = {specs.EVALUATION_KEY: [evaluation], specs.BLESSING_KEY: [blessing]}
        Executor(context).Do(inputs, outputs, properties)
        verdict = read_verdict(evaluation.uri)
        assert verdict.blessed == bool(blessing.get_int_custom_property("blessed"))
        assert (folder / "blessing" / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).exists()
        return evaluation.uri, verdict

    return run


AS_GOOD_AS_MARKOV = {"min_targets": 48, "min_lift_over_markov": 1}


def test_metrics_of_every_slice_agree_with_a_brute_force(evaluate):
    uri, verdict = evaluate(0, baseline=4, min_recall_at_10=0.2, min_lift_over_popularity=1.9)
    assert verdict.blessed
    assert verdict.reasons[0].startswith("Recall@10 0.2083, the popularity list has 0.1042, Markov 0.1667, the best of")
    without_baseline, verdict = evaluate(0, **AS_GOOD_AS_MARKOV)
    assert verdict.blessed
    for metrics in (read_metrics(uri), read_metrics(without_baseline)):
        slices = {f"{features.HISTORY_BUCKET}:{label}": (0, label) for label in HISTORY_LABELS}
        slices |= {f"{features.POPULARITY_BUCKET}:{label}": (1, label) for label in POPULARITY_LABELS}
        assert set(metrics["slices"]) == set(slices)
        parts = {name: metrics["slices"][name] for name in slices} | {"": metrics["overall"]}
        for name, values in parts.items():
            chosen = (
                RANKS if not name else np.array([n for n in RANKS if labels(n)[slices[name][0]] == slices[name][1]])
            )
            assert values["example_count"] == len(chosen)
            for metric, value in expected_metrics(0, chosen).items():
                assert values[metric] == pytest.approx(value), f"{metric} of {name or 'overall'}"
    averaged = [name for name in METRICS if name != "coverage_at_10"]
    assert set(read_metrics(without_baseline)["overall"]) == {
        *(f"{prefix}{name}" for name in METRICS for prefix in ("", POPULARITY, MARKOV)),
        *(f"{prefix}{name}{ERROR}" for name in averaged for prefix in ("", POPULARITY, MARKOV)),
        *("recall_at_10_lift", "recall_at_10_lift_over_markov", "example_count", "unreachable"),
    }


def test_the_baseline_is_ranked_on_the_same_targets(evaluate):
    uri, _ = evaluate(0, baseline=4, min_recall_at_10=0.2, min_lift_over_popularity=1.9)
    metrics = read_metrics(uri)["overall"]
    assert metrics["baseline_recall_at_10"] == pytest.approx(6 / 48)
    assert metrics["recall_at_10_change"] == pytest.approx(4 / 48)
    hit_differences = (RANKS < 10).astype(float) - (RANKS + 4 < 10)
    assert metrics["recall_at_10_change_standard_error"] == pytest.approx(error_over_users(hit_differences, USERS))


def test_too_few_targets_and_a_recall_below_the_floor_block_the_model(evaluate):
    _, verdict = evaluate(0, min_targets=49, min_recall_at_10=0.25)
    assert verdict == Verdict(
        False,
        (
            "the test split has 48 targets, fewer than gate.min_targets 49; add data, or lower gate.min_targets",
            "Recall@10 0.2083 is below the floor of 0.2500",
        ),
    )


def test_a_low_lift_over_the_popularity_list_blocks_the_model(evaluate):
    uri, verdict = evaluate(0, min_recall_at_10=0.2, min_lift_over_popularity=2.5)
    assert verdict == Verdict(
        False,
        ("Recall@10 0.2083 is 2.00 times the popularity list's 0.1042, below the 2.50 times that the gate requires",),
    )
    # The conditions that passed are included, and the skipped one is not.
    assert [(condition.metric, condition.is_change, condition.passed) for condition in read_conditions(uri)] == [
        ("example_count", False, True),
        ("recall_at_10", False, True),
        ("recall_at_10_lift", False, False),
        ("recall_at_10_lift_over_markov", False, True),
    ]


def test_a_model_below_first_order_markov_is_refused(evaluate):
    """The model is better than the popularity list but worse than Markov."""
    _, verdict = evaluate(4, min_lift_over_popularity=1.1, min_lift_over_markov=1)
    assert verdict == Verdict(
        False,
        ("Recall@10 0.1250 is 0.75 times first-order Markov's 0.1667, below the 1.00 times that the gate requires",),
    )


def test_a_loss_of_recall_within_chance_passes(evaluate):
    uri, verdict = evaluate(2, baseline=0)  # 2 of 10 hits are lost, a fifth.
    metrics = read_metrics(uri)["overall"]
    assert metrics["recall_at_10_change"] < -0.02 * metrics["baseline_recall_at_10"]
    assert verdict.blessed


def test_every_failed_condition_is_a_reason(evaluate):
    uri, verdict = evaluate(9, baseline=0, min_targets=100, min_recall_at_10=0.9, min_lift_over_popularity=9)
    assert not verdict.blessed and len(verdict.reasons) == 4
    (loss,) = (reason for reason in verdict.reasons if "last blessed" in reason)
    assert loss.startswith(
        "Recall@10 0.0208 is significantly below the 0.2083 of the best of the last blessed models: by"
    )
    error = read_metrics(uri)["overall"]["recall_at_10_change_standard_error"]
    assert -9 / 48 + 2 * error < 0, "9 of 10 hits are lost"
    assert read_conditions(uri) == [
        Condition("example_count", 48, 100, False, False),
        Condition("recall_at_10", pytest.approx(1 / 48), 0.9, False, False),
        Condition("recall_at_10", pytest.approx(-9 / 48), pytest.approx(-2 * error), True, False),
        Condition("recall_at_10_lift", pytest.approx(0.2), 9, False, False),
        Condition("recall_at_10_lift_over_markov", pytest.approx(1 / 8), 0, False, True),
    ]


def test_a_baseline_without_a_hit_does_not_block(evaluate):
    """This happens if the baseline was trained on other data."""
    _, verdict = evaluate(0, baseline=ITEMS + 2)
    assert verdict.blessed


def test_a_model_equal_to_its_baseline_passes(evaluate):
    assert evaluate(0, baseline=0)[1].blessed


def test_max_users_limits_the_evaluation_to_a_sample_of_users(evaluate):
    uri, _ = evaluate(0, max_users=9)
    assert not (Path(uri) / "drawn").exists(), "the sample is removed"
    metrics = read_metrics(uri)["overall"]
    assert metrics["example_count"] == 18, "each user has two targets"
    all_users = read_metrics(evaluate(0, **AS_GOOD_AS_MARKOV)[0])["overall"]
    assert metrics[f"recall_at_10{ERROR}"] > all_users[f"recall_at_10{ERROR}"]


def test_a_sample_depends_only_on_the_users_and_has_all_their_examples(tmp_path):
    def sample(order: np.ndarray, count: int, files: int = 1) -> list[bytes]:
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path / f"{files}")
        examples.split_names = artifact_utils.encode_split_names([features.TEST])
        split = tmp_path / f"{files}" / f"Split-{features.TEST}"
        split.mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(np.array_split(order, files)):
            with tf.io.TFRecordWriter(str(split / f"{number}.gz"), "GZIP") as writer:
                for row in part:
                    writer.write(raw_example(row))
        with sampled_users(examples, count, str(tmp_path / "drawn")) as sampled:
            paths = [str(path) for path in Path(sampled.uri).glob(f"Split-{features.TEST}/*")]
            records = list(tf.data.TFRecordDataset(paths, "GZIP").as_numpy_iterator())
        assert not (tmp_path / "drawn").exists()
        return sorted(records)

    ordered, shuffled = np.arange(len(RANKS)), np.random.default_rng(1).permutation(len(RANKS))
    small_sample = sample(ordered, 5)
    assert small_sample == sample(shuffled, 5, files=3)
    users = [
        tf.train.Example.FromString(record).features.feature[features.USER_ID].bytes_list.value[0]
        for record in small_sample
    ]
    assert sorted(map(users.count, set(users))) == [2] * 5
    assert set(small_sample) < set(sample(ordered, 6)), "a larger sample contains the users of a smaller one"
    assert sample(ordered, 24) == sample(ordered, 100) == sorted(map(raw_example, range(len(RANKS))))
