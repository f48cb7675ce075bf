"""Tests the measurements of large catalogues on a small one, and of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import catalogue_costs, large_catalogue, trainer_memory
from benchmarks.processes import in_new_process
from benchmarks.random_catalogue import write_timelines
from components import features
from components.errors import StepError

ITEMS, HISTORY, USERS = 300, 6, 20
PRECISIONS = ("int8_tables", "float32", "dynamic_int8")
SETTINGS, _ = large_catalogue.read_settings(
    large_catalogue.CONFIG, ["trainer.dimension=8", "trainer.item_dimension=4", "trainer.top_k=20"]
)
MEGABYTES = 2**20


def test_the_costs_of_the_files_and_the_client_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue_costs, "STARTS", 1)
    files, smallest = catalogue_costs.file_costs(tmp_path, ITEMS, SETTINGS, HISTORY, PRECISIONS, 5)
    tables, exact, small = files
    assert tuple(file["precision"] for file in files) == PRECISIONS
    assert tables["agreement_at_10"] is None, "the float32 file comes later"
    assert len(smallest) == small["size_bytes"] < exact["size_bytes"]
    assert exact["agreement_at_10"] == 1 and 0.5 < small["agreement_at_10"] <= 1
    assert 0 < exact["median_ms"] <= exact["p90_ms"]
    client = catalogue_costs.client_costs(tmp_path / "client", smallest, ITEMS, SETTINGS, HISTORY)
    assert client["start_seconds"] > 0 and client["items_bytes"] > 50 * ITEMS


def test_a_training_step_is_timed(tmp_path):
    small = SETTINGS.model_copy(update={"batch_positions": 60, "window": 6, "negatives": 8})
    write_timelines(tmp_path / "train", 50, ITEMS, 7)
    costs = trainer_memory.train(tmp_path / "train", small, ITEMS, 9)  # An epoch has five batches.
    assert costs["step_ms"] > 0 and costs["positions_per_s"] > 0


def test_the_signature_rank_ranks_random_users(tmp_path):
    catalogue_costs.prepare_evaluation(tmp_path, ITEMS, USERS, SETTINGS, HISTORY)
    (file,) = (tmp_path / catalogue_costs.EXAMPLES / f"Split-{features.TEST}").iterdir()
    examples = list(tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator())
    model = tf.saved_model.load(str(tmp_path / catalogue_costs.SAVED_MODEL))
    outputs = model.signatures["rank"](tf.constant(examples))
    ranks = outputs["target_rank"].numpy()
    assert len(ranks) == USERS and set(outputs["num_items"].numpy()) == {ITEMS}
    assert (ranks >= 0).all() and (ranks <= ITEMS + features.FIRST_INDEX).all() and len(np.unique(ranks)) > USERS / 2


@pytest.mark.parametrize("arguments", [["--set", "trainer.dimension"], ["--config", "nowhere.yaml"]])
def test_an_invalid_argument_is_a_one_line_error(arguments, capsys):
    assert large_catalogue.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_memory_of_child_processes_is_measured():
    allocate = f"import time; held = bytearray({300 * MEGABYTES}); time.sleep(2); raise SystemExit(len(held) % 7)"
    code, peak = in_new_process(subprocess.call, [sys.executable, "-c", allocate])
    assert code == 300 * MEGABYTES % 7
    assert 300 * MEGABYTES < peak < 600 * MEGABYTES


def test_an_error_or_a_kill_in_a_new_process_is_one_line():
    with pytest.raises(StepError, match=r"rmdir, in a new process: FileNotFoundError: .*nowhere"):
        in_new_process(os.rmdir, "nowhere")
    with pytest.raises(StepError, match="_exit, in a new process: BrokenProcessPool: "):
        in_new_process(os._exit, 9)
