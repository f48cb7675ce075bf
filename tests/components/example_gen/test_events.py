"""Kinds of interactions: which are used, their weights, and which are targets; and the splits for a refit."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import ValidationError

from components import features
from components.errors import StepError
from components.example_gen.settings import ExampleGenSettings

KINDS = ["view", "cart", "purchase", "remove"]
SHOP = "user,item,timestamp,event\n" + "".join(
    f"u{user},i{(user + time) % 9},{time + 1},{KINDS[time % 4]}\n" for user in range(6) for time in range(12)
)
EVENTS = {"view": 0.25, "cart": 0.5, "purchase": 1.0}


def test_events_select_interactions_and_set_their_weights(generate: Callable) -> None:
    splits, catalog = generate({"log.csv": SHOP}, events=EVENTS, targets=["cart", "purchase"])
    facts = json.loads((catalog / "dataset.json").read_text())
    assert (facts["ratings"], facts["other_events"]) == (54, 18)
    (train, *_) = splits[features.TRAIN]
    assert train[features.WEIGHT] == [0, 0.5, 1, 0, 0.5, 1, 0]
    for split in (features.EVAL, features.TEST):  # The last two targets are a purchase and, before it, a cart.
        kinds = {KINDS[(example[features.TARGET_TIMESTAMP][0] - 1) % 4] for example in splits[split]}
        assert kinds == {"cart" if split == features.EVAL else "purchase"}


def test_kinds_may_be_numbers_and_equal_times_keep_both(generate: Callable) -> None:
    log = "user,item,timestamp,event\n" + "".join(
        f"u{user},i{item},{item},{kind}\n" for user in range(3) for item in range(4) for kind in (1, 4)
    )
    splits, catalog = generate({"log.csv": log}, events={1: 0.25, 4: 1}, targets=[4])
    facts = json.loads((catalog / "dataset.json").read_text())
    assert (facts["ratings"], facts["duplicates"]) == (24, 0)
    assert {example[features.TARGET_ID][0] for example in splits[features.TEST]} == {b"i3"}


def test_targets_without_events_use_all_kinds(generate: Callable) -> None:
    splits, catalog = generate({"log.csv": SHOP}, targets=["view"])
    assert json.loads((catalog / "dataset.json").read_text())["ratings"] == 72
    assert splits[features.TRAIN][0][features.WEIGHT] == [1, 0, 0, 0]


def test_without_events_and_targets_examples_have_no_weights(generate: Callable) -> None:
    splits, _ = generate({"log.csv": SHOP})
    assert not any(example.get(features.WEIGHT) for example in splits[features.TRAIN])


@pytest.mark.parametrize(
    ("log", "settings", "message"),
    [
        (SHOP, {"targets": ["buy"]}, "example_gen.targets names 'buy', which the column 'event' does not contain"),
        (SHOP, {"events": {"view": 1, "buy": 2}}, "example_gen.events names 'buy', which the column 'event' does not"),
        (
            SHOP.replace("event", "sort"),
            {"events": EVENTS},
            "no column for the kind of an interaction, which",
        ),
    ],
)
def test_a_missing_kind_or_column_is_a_one_line_error(
    generate: Callable, log: str, settings: dict, message: str
) -> None:
    with pytest.raises(StepError) as error:
        generate({"log.csv": log}, **settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_target_outside_the_events_or_a_weight_of_zero_is_an_error() -> None:
    with pytest.raises(ValidationError, match="targets names 'buy', which events does not contain; it contains 'view'"):
        ExampleGenSettings(events={"view": 1.0}, targets=("buy",))
    with pytest.raises(ValidationError, match="greater than 0"):
        ExampleGenSettings(events={"view": 0.0})


def test_the_refit_gets_complete_timelines_and_all_events(generate: Callable) -> None:
    splits, _ = generate({"log.csv": SHOP}, {"with_all": 1}, split="temporal")
    assert sorted(splits) == ["all", "catalog", "eval", "test", "train"]
    assert sorted(len(example[features.ITEM_ID]) for example in splits[features.ALL]) == [12] * 6
    assert sum(item[features.CATALOG_EVENTS][0] for item in splits[features.CATALOG]) == 72
    train_events = sum(len(example[features.ITEM_ID]) for example in splits[features.TRAIN])
    assert sum(item[features.CATALOG_TRAIN_EVENTS][0] for item in splits[features.CATALOG]) == train_events < 72


def test_dropped_repeats_are_counted(generate: Callable) -> None:
    _, catalog = generate({"log.csv": SHOP}, {"drop_repeats": 1})
    facts = json.loads((catalog / "dataset.json").read_text())
    assert (facts["ratings"], facts["dropped_repeats"], facts["repeats"]) == (54, 18, 0)
