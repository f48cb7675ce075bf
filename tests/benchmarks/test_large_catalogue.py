"""Tests the measurements of large catalogues on a small one."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import large_catalogue, random_files
from benchmarks.catalogue_costs import EXAMPLES, MODEL, prepare_evaluation, train
from components import features
from pipeline.config import load_config

ITEMS, HISTORY, USERS = 300, 6, 20
PRECISIONS = ("int8_tables", "float32", "dynamic_int8")
SETTINGS = large_catalogue._settings(
    load_config(large_catalogue.CONFIG, {"trainer.dimension": 8, "trainer.item_dimension": 4, "trainer.top_k": 20})
)


def test_files_and_client_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(random_files, "STARTS", 1)
    files, smallest = random_files.file_costs(tmp_path, ITEMS, SETTINGS, HISTORY, PRECISIONS, 5)
    tables, exact, small = files
    assert tuple(file["precision"] for file in files) == PRECISIONS
    assert tables["agreement_at_10"] is None, "the float32 file comes later"
    assert len(smallest) == small["size_bytes"] < exact["size_bytes"]
    assert exact["agreement_at_10"] == 1 and 0.5 < small["agreement_at_10"] <= 1
    assert 0 < exact["median_ms"] <= exact["p90_ms"]
    client = random_files.client_costs(tmp_path / "client", smallest, ITEMS, SETTINGS, HISTORY)
    assert client["start_seconds"] > 0 and client["items_bytes"] > 50 * ITEMS


def test_a_training_step_is_timed(tmp_path):
    small = SETTINGS.model_copy(update={"batch_positions": 60, "window": 6, "negatives": 8})
    request = {"settings": small.model_dump(mode="json"), "history_length": HISTORY, "items": ITEMS}
    assert train(tmp_path, request)["step_ms"] > 0


def test_random_users_are_ranked_by_the_signature_of_the_model(tmp_path):
    prepare_evaluation(tmp_path, ITEMS, USERS, SETTINGS, HISTORY)
    (file,) = (tmp_path / EXAMPLES / f"Split-{features.TEST}").iterdir()
    examples = list(tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator())
    answer = tf.saved_model.load(str(tmp_path / MODEL / "Format-Serving")).signatures["rank"](tf.constant(examples))
    ranks = answer["target_rank"].numpy()
    assert len(ranks) == USERS and set(answer["num_items"].numpy()) == {ITEMS}
    assert (ranks >= 0).all() and (ranks <= ITEMS + features.FIRST_INDEX).all() and len(np.unique(ranks)) > USERS / 2


@pytest.mark.parametrize("arguments", [["--set", "trainer.dimension"], ["--config", "nowhere.yaml"]])
def test_errors_are_one_line(arguments, capsys):
    assert large_catalogue.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")
