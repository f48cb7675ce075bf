"""Tests the sample after the pipeline's steps, and that a saved and an unsaved model rank it in the same way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from benchmarks.baselines import Markov, Popularity
from benchmarks.prepared import Prepared, pairs_fingerprint, prepare
from benchmarks.ranking import ndcg, rank_targets, recall
from components.evaluator.metrics import RankingSums
from components.trainer.baselines import count_transitions
from components.trainer.model import RecommenderModel
from components.trainer.ranking import target_ranks
from components.trainer.run import build_model
from components.trainer.serving import ServingModel
from components.trainer.training_data import read_training_data
from pipeline.config import load_config

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
CONFIG = load_config(ROOT / "configs" / "sample.yaml")


class Silent:
    """An observer that prints nothing."""

    def started(self, step):
        """Does nothing."""

    def finished(self, result):
        """Does nothing."""

    def failed(self, step, seconds):
        """Does nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Prepared:
    return prepare(SAMPLE, CONFIG, folder / "output", folder / "cache", Silent())


@pytest.fixture(scope="module")
def transformed(folder: Path, prepared: Prepared) -> Path:
    """Returns the folder of Transform's examples."""
    (split,) = folder.glob("output/*/artifacts/Transform/transformed_examples/*/Split-eval")
    return split.parent


@pytest.fixture(scope="module")
def transform_output(folder: Path, prepared: Prepared) -> tft.TFTransformOutput:
    (function,) = folder.glob("output/*/artifacts/Transform/transform_graph/*/transform_fn")
    return tft.TFTransformOutput(str(function.parent))


@pytest.fixture(scope="module")
def ranked(
    prepared: Prepared, transformed: Path, transform_output: tft.TFTransformOutput
) -> tuple[RecommenderModel, dict[str, np.ndarray]]:
    """Returns an untrained model, and the outputs of its `rank` signature for the raw test examples."""
    files = {split: f"{transformed}/Split-{split}/*" for split in ("train", "eval", "catalog")}
    arguments = FnArgs(
        transform_graph_path=str(Path(transform_output.transform_savedmodel_dir).parent),
        train_files=[files["train"], files["catalog"]],
        eval_files=[files["eval"]],
    )
    data = read_training_data(arguments)
    model = build_model(CONFIG.trainer, data)
    serving = ServingModel(model, transform_output, count_transitions(data.train, prepared.size))
    outputs = serving.rank(tf.constant(prepared.raw_test))
    return model, {name: value.numpy() for name, value in outputs.items()}


def test_every_user_is_tested_on_the_last_film(prepared):
    rows = [line.split("::") for line in (SAMPLE / "ratings.dat").read_text(encoding="latin-1").splitlines()]
    users: dict[str, list[str]] = {}
    for user, film, _, _ in sorted(rows, key=lambda row: int(row[3])):  # Sorting keeps the order of the file.
        users.setdefault(user, []).append(film)
    index = {film: number for number, film in enumerate(prepared.item_ids, start=2)}
    starts = prepared.test.starts
    for row, user in enumerate(prepared.users.tolist()):
        *before, last = (index[film] for film in users[user.decode()])
        assert prepared.test.items[starts[row] : starts[row + 1]].tolist() == before
        assert prepared.test.targets[row] == last
        assert prepared.target_ids[row].decode() == users[user.decode()][-1]
    assert len(prepared.users) == len(prepared.train) == len(prepared.holdout) == len(users)
    assert len(prepared.train.items) == len(rows) - 2 * len(users)


def test_the_fingerprint_does_not_depend_on_the_order_of_the_pairs(prepared):
    reversed_fingerprint = pairs_fingerprint(prepared.users[::-1], prepared.target_ids[::-1])
    assert reversed_fingerprint == prepared.fingerprint and len(reversed_fingerprint) == 64
    assert pairs_fingerprint(prepared.users, prepared.target_ids[::-1]) != prepared.fingerprint


@pytest.mark.parametrize(
    ("prefix", "baseline"), [("popularity_", Popularity()), ("markov_", Markov(pseudo_count=1e-6))]
)
def test_baselines_have_the_metrics_of_the_evaluator(prepared, ranked, prefix, baseline):
    sums = RankingSums()
    for row, user in enumerate(prepared.users.tolist()):
        sums.add(user, {name: values[row] for name, values in ranked[1].items()})
    expected = sums.metrics()
    ranks = rank_targets(baseline.fit(prepared.train, prepared.size), prepared.test).ranks
    for k in (1, 5, 10, 50):
        estimate = recall(ranks, k, prepared.users)
        assert estimate.mean == pytest.approx(expected[f"{prefix}recall_at_{k}"])
        assert estimate.standard_error == pytest.approx(expected[f"{prefix}recall_at_{k}_standard_error"])
    assert ndcg(ranks, 10).mean == pytest.approx(expected[f"{prefix}ndcg_at_10"])
    assert 0 < expected[f"{prefix}recall_at_10"] < 1


def test_a_model_has_the_same_ranks_in_training_and_in_its_saved_form(prepared, ranked):
    model, outputs = ranked
    ranks = target_ranks(model, prepared.test)
    np.testing.assert_allclose(ranks, outputs["target_rank"], atol=1)  # Scores of neighbours differ by rounding.
    assert (ranks == outputs["target_rank"]).mean() > 0.98


def test_histories_are_truncated_as_in_transform(prepared, transformed, transform_output):
    files = sorted(map(str, transformed.glob("Split-eval/*")))
    examples = tf.data.TFRecordDataset(files, compression_type="GZIP")
    spec = transform_output.transformed_feature_spec()
    parsed = tf.io.parse_example(list(examples.as_numpy_iterator()), spec)
    histories = prepared.holdout.histories(slice(None), CONFIG.transform.history_length)
    for name, input_ in (("", "items"), ("_rating", "ratings"), ("_time", "times")):
        np.testing.assert_array_equal(parsed[f"history{name}"].numpy(), histories[input_])
