"""The description of a log, and its section of the configuration, which reads the log in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data.describe import describe, section
from data.formats import open_dataset
from data.settings import DataSettings
from tests.data.reading import read_all, rows_of
from tests.data.test_any_log import FORMS, one_csv

LOG = """when;who;what;event;stars
2024-03-01 10:00;ann;tea;view;3
2024-03-01 10:00;ann;jam;view;4
2024-03-01 10:02;ann;jam;purchase;5
2024-03-02 09:00;bob;tea;view;1
2024-03-02 soon;bob;tea;view;1
2024-03-02 09:01;bob;gum;view;2
2024-03-03 09:01;bob;tea;view;2
"""


def test_the_description_has_all_facts_and_the_section(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(LOG)
    (tmp_path / "items.csv").write_text("item,title\ntea,Tea\nink,Ink\n")
    settings = DataSettings.model_validate({"columns": {"user": "who", "item": "what", "timestamp": "when"}})
    text = describe(open_dataset(tmp_path / "shop.csv", "", settings))
    facts, _, section_text = text.partition("\n\n")
    assert facts.splitlines() == [
        "log         shop: 1 file, shop.csv, 0.0 MB, text separated by ';'",
        "columns     user: who, item: what, rating: stars, timestamp: when, event: event",
        "timestamps  ISO 8601, UTC if they have no zone",
        "first rows  ann, tea, 3, 2024-03-01 10:00, view",
        "            ann, jam, 4, 2024-03-01 10:00, view",
        "            ann, jam, 5, 2024-03-01 10:02, purchase",
        "rows        6",
        "bad rows    1, such as shop.csv, line 6: timestamp '2024-03-02 soon' is not an ISO 8601 time: "
        "'2024-03-02 soon;bob;tea;view;1'",
        "time        2024-03-01 10:00:00 to 2024-03-03 09:01:00 UTC",
        "users       2; interactions per user: 3, 3, 3 at 10, 50 and 90 %, 3 at most",
        "items       3; the most popular tenth has 50% of the interactions",
        "            1 of them are in items.csv, which has 2",
        "ratings     1 to 5, 2.83 on average",
        "events      view 83.3%, purchase 16.7%",
        "ties        16.7% of the interactions have the same time as the user's previous one",
        "repeats     33.3% of the interactions repeat an item of the user, 16.7% the previous one",
    ]
    assert yaml.safe_load(section_text) == {
        "data": {
            "columns": {"user": "who", "item": "what", "rating": "stars", "timestamp": "when", "event": "event"},
            "separator": ";",
            "items": {"path": "items.csv"},
        }
    }


@pytest.mark.parametrize("write_log", FORMS)
def test_the_section_reads_the_same_log(write_log, tmp_path: Path) -> None:
    dataset = open_dataset(write_log(tmp_path), "")
    settings = DataSettings.model_validate(section(dataset))
    files = dataset.log.files
    reopened = open_dataset(files[0].path if len(files) == 1 else tmp_path / "log", "", settings)
    assert rows_of(read_all(reopened)) == rows_of(read_all(dataset))


def test_the_section_contains_the_declarations(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user|item|day|price\nann|tea|45352.5|3\nNIL|tea|45353.5|4\n")
    (tmp_path / "wares").mkdir()
    (tmp_path / "wares" / "list.csv").write_text("sku,label\ntea,Tea\n")
    given = {
        "columns": {"timestamp": "DAY"},
        "items": {"path": "wares/list.csv", "columns": {"item": "sku", "title": "label"}},
        "timestamp": {"zone": "Europe/Berlin"},
        "missing": ["nil"],
        "activity": {"price": "auto"},
    }
    settings = DataSettings.model_validate(given)
    declared = section(open_dataset(tmp_path / "log.csv", "", settings), settings)
    assert declared == {
        **given,
        "columns": {"user": "user", "item": "item", "timestamp": "day"},
        "activity": {"price": "numbers"},
        "separator": "|",
    }
    (tmp_path / "log.csv").rename(tmp_path / "u.data")
    settings = DataSettings.model_validate({**given, "activity": {}})
    declared = section(open_dataset(tmp_path / "u.data", "", settings), settings)
    assert DataSettings.model_validate(declared) == settings


def test_a_published_layout_has_nothing_to_declare(shapes, write) -> None:
    text = describe(open_dataset(write(shapes["ml-1m"]), ""))
    assert text.endswith("This is a published layout: nothing has to be declared.")


def test_a_long_log_is_described_by_its_beginning(tmp_path: Path) -> None:
    assert "rows        600 in the first 0% of the bytes, which all counts here cover" in describe(
        open_dataset(one_csv(tmp_path), ""), within=0
    )
