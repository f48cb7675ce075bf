"""The summary's lines about repeats, targets that cannot be returned, training and a refit."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipeline.summary import STOPPED_EARLY, refit_in_words, repeated, unreachable
from pipeline.summary_console import show


def summary(share: float, repeats: int, recommends_seen: bool) -> dict[str, Any]:
    return {
        "metrics": {"examples": 200, "unreachable": share},
        "data": {"repeated_targets": repeats},
        "training": {"recommends_seen": recommends_seen},
    }


@pytest.mark.parametrize(
    ("run", "repeats", "out_of_reach"),
    [
        (summary(0, 0, False), "", ""),
        (summary(0.01, 50, True), ", 25.0% of them repeats", "2 of them (1.0%) are out of reach: 2 are of items that"),
        (summary(0.3, 50, False), ", 25.0% of them repeats", "60 of them (30.0%) are out of reach: 50 repeat an item"),
    ],
)
def test_the_summary_shows_repeats_and_unreachable_targets(run, repeats, out_of_reach):
    assert repeated(run) == repeats
    assert out_of_reach in unreachable(run) and bool(unreachable(run)) == bool(out_of_reach)


def test_a_refit_says_which_model_the_metrics_describe():
    refit = {"trained_on": 1000, "evaluated_trained_on": 800, "evaluated_num_items": 40, "seconds": 90.0}
    words = refit_in_words({"refit": refit, "num_items": 45})
    assert "all 1,000 interactions, 200 more than before, and knows 5 more items" in words
    assert words.endswith("The metrics are of the model before the refit")


@pytest.mark.parametrize("out_of_time", [False, True])
def test_the_summary_names_the_device_and_the_time_limit(out_of_time):
    history = [{"epoch": 1, "seconds": 60.0}, {"epoch": 2, "seconds": 130.0}]
    training = {"history": history, "best_epoch": 1, "device": "2 CPU cores", "out_of_time": out_of_time}
    gate = {"blessed": False, "reasons": ["Recall@10 0.0100 is below the floor"]}
    stream = io.StringIO()
    run = {"outcome": STOPPED_EARLY, "seconds": 200.0, "training": training, "gate": gate}
    show(run, Console(file=stream, width=200), None, None)
    lines = {line.partition(" ")[0]: line for line in stream.getvalue().splitlines()}
    assert lines["Training"].endswith("2 epochs in 2 min 10 s on 2 CPU cores; epoch 1 was best")
    assert ("trainer.max_minutes ended the fit in epoch 2" in lines["Gate"]) == out_of_time
