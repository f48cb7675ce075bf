"""Kinds of interactions: which count, how much, and which are targets; and the splits that a refit needs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from components import features
from components.errors import StepError
from components.example_gen.settings import ExampleGenSettings
from tests.components.example_gen.test_catalog_split import generate

__all__ = ["generate"]

KINDS = ["view", "cart", "purchase", "remove"]
SHOP = "user,item,timestamp,event\n" + "".join(
    f"u{user},i{(user + time) % 9},{time + 1},{KINDS[time % 4]}\n" for user in range(6) for time in range(12)
)
EVENTS = {"view": 0.25, "cart": 0.5, "purchase": 1.0}


def test_events_choose_and_weigh_interactions(generate: Callable) -> None:
    found, catalog = generate({"log.csv": SHOP}, events=EVENTS, targets=["cart", "purchase"])
    facts = json.loads((catalog / "dataset.json").read_text())
    assert (facts["ratings"], facts["other_events"]) == (54, 18)
    (train, *_) = found[features.TRAIN]
    assert train[features.WEIGHT] == [0, 0.5, 1, 0, 0.5, 1, 0]
    for split in (features.EVAL, features.TEST):  # The last two targets are a purchase and, before it, a cart.
        kinds = {KINDS[(example[features.TARGET_TIMESTAMP][0] - 1) % 4] for example in found[split]}
        assert kinds == {"cart" if split == features.EVAL else "purchase"}


def test_targets_alone_leave_nothing_out(generate: Callable) -> None:
    found, catalog = generate({"log.csv": SHOP}, targets=["view"])
    assert json.loads((catalog / "dataset.json").read_text())["ratings"] == 72
    assert found[features.TRAIN][0][features.WEIGHT] == [1, 0, 0, 0]


def test_examples_of_a_log_without_chosen_events_have_no_weights(generate: Callable) -> None:
    found, _ = generate({"log.csv": SHOP})
    assert not any(example.get(features.WEIGHT) for example in found[features.TRAIN])


@pytest.mark.parametrize(
    ("log", "settings", "message"),
    [
        (SHOP, {"targets": ["buy"]}, "example_gen.targets names 'buy', which the column 'event' never holds"),
        (SHOP, {"events": {"view": 1, "buy": 2}}, "example_gen.events names 'buy', which the column 'event' never"),
        (
            SHOP.replace("event", "sort"),
            {"events": EVENTS},
            "no column for the kind of an interaction, which",
        ),
    ],
)
def test_kinds_that_are_not_there(generate: Callable, log: str, settings: dict, message: str) -> None:
    with pytest.raises(StepError) as error:
        generate({"log.csv": log}, **settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_targets_are_among_the_events() -> None:
    with pytest.raises(ValidationError, match="targets names 'buy', which events leaves out; it has 'view'"):
        ExampleGenSettings(events={"view": 1.0}, targets=("buy",))
    with pytest.raises(ValidationError, match="greater than 0"):
        ExampleGenSettings(events={"view": 0.0})


def test_the_refit_gets_complete_timelines_and_all_events(generate: Callable) -> None:
    found, _ = generate({"log.csv": SHOP}, {"with_all": 1}, split="temporal")
    assert sorted(found) == ["all", "catalog", "eval", "test", "train"]
    assert sorted(len(example[features.ITEM_ID]) for example in found[features.ALL]) == [12] * 6
    assert sum(item[features.CATALOG_EVENTS][0] for item in found[features.CATALOG]) == 72
    trained = sum(len(example[features.ITEM_ID]) for example in found[features.TRAIN])
    assert sum(item[features.CATALOG_TRAIN_EVENTS][0] for item in found[features.CATALOG]) == trained < 72


def test_dropped_repeats_are_counted(generate: Callable) -> None:
    _, catalog = generate({"log.csv": SHOP}, {"drop_repeats": 1})
    facts = json.loads((catalog / "dataset.json").read_text())
    assert (facts["ratings"], facts["dropped_repeats"], facts["repeats"]) == (54, 18, 0)
