"""Data that changes while it is read, or since its fingerprint was computed, is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from components.artifacts import ItemCatalog
from components.errors import StepError
from components.example_gen import executor
from data.dataset import fingerprint
from data.formats import open_dataset

LOG = "user,item,timestamp\n" + "".join(f"u{user},i{item},{item}\n" for user in range(3) for item in range(4))
LATER = "u9,i1,1\nu9,i2,2\nu9,i3,3\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    append(tmp_path / "log.csv", LOG)
    return tmp_path / "log.csv"


@pytest.fixture
def generate(run_example_gen: Callable, log: Path, tmp_path: Path) -> Callable[[str], ItemCatalog]:
    """Returns a function that runs ExampleGen on the log, with a known fingerprint, and returns the catalogue."""
    return lambda data_fingerprint: run_example_gen(log, tmp_path, data_fingerprint=data_fingerprint)[1]


def append(path: Path, lines: str = LATER) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(lines)


def test_the_catalogue_has_the_fingerprint_of_the_data(generate, log):
    before = fingerprint(open_dataset(log, ""))
    catalog = generate(before)
    assert catalog.get_string_custom_property("data_fingerprint") == before
    assert catalog.get_int_custom_property("ratings") == 12
    append(log)
    assert fingerprint(open_dataset(log, "")) != before, "the cached result is not used"


@pytest.mark.parametrize("known", [True, False], ids=["fingerprint known", "fingerprint not known"])
def test_a_file_that_grows_while_it_is_read_is_an_error(generate, log, monkeypatch, known):
    original_read_items = executor.read_items

    def read_items(dataset):
        append(log)
        return original_read_items(dataset)

    monkeypatch.setattr(executor, "read_items", read_items)
    with pytest.raises(StepError, match=r"log.csv: this file, or one beside it, changed while the run read it"):
        generate(fingerprint(open_dataset(log, "")) if known else "")


def test_a_file_that_grows_between_its_fingerprint_and_reading_is_an_error(generate, log):
    before = fingerprint(open_dataset(log, ""))
    append(log)
    with pytest.raises(StepError, match="changed while the run read it; run again when nothing writes there"):
        generate(before)
