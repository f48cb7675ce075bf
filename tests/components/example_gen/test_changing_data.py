"""Data that changes while it is read, or since its fingerprint was taken, is noticed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.artifacts import ItemCatalog
from components.errors import StepError
from components.example_gen import executor
from components.example_gen.settings import ExampleGenSettings
from data.dataset import fingerprint
from data.formats import open_dataset
from data.settings import DataSettings

LOG = "user,item,timestamp\n" + "".join(f"u{user},i{item},{item}\n" for user in range(3) for item in range(4))
LATER = "u9,i1,1\nu9,i2,2\nu9,i3,3\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG, encoding="utf-8")
    return path


@pytest.fixture
def generate(log: Path, tmp_path: Path):
    """Runs ExampleGen on the log; returns what it says of the data."""

    def run(data_fingerprint: str) -> SimpleNamespace:
        examples, catalog = standard_artifacts.Examples(), ItemCatalog()
        examples.uri, catalog.uri = str(tmp_path / "examples"), str(tmp_path / "catalog")
        context = base_beam_executor.BaseBeamExecutor.Context(
            beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(tmp_path / "temporary"), unique_id="1"
        )
        properties = {
            **{"data": str(log), "data_fingerprint": data_fingerprint, "cache_dir": str(tmp_path / "cache")},
            "settings": ExampleGenSettings().model_dump_json(),
            "reading": DataSettings().model_dump_json(),
        }
        executor.Executor(context).Do({}, {"examples": [examples], "catalog": [catalog]}, properties)
        return SimpleNamespace(fingerprint=catalog.data_fingerprint, ratings=catalog.ratings)

    return run


def append(path: Path) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(LATER)


def test_what_was_read_has_the_fingerprint_under_which_it_is_kept(generate, log):
    before = fingerprint(open_dataset(log, ""))
    found = generate(before)
    assert (found.fingerprint, found.ratings) == (before, 12)
    append(log)
    assert fingerprint(open_dataset(log, "")) != before, "so that the cached result is not taken"


@pytest.mark.parametrize("known", [True, False], ids=["fingerprint known", "fingerprint not known"])
def test_a_file_that_grows_while_it_is_read(generate, log, monkeypatch, known):
    real = executor.read_items

    def read_items(dataset):
        append(log)
        return real(dataset)

    monkeypatch.setattr(executor, "read_items", read_items)
    with pytest.raises(StepError, match=r"log.csv: this file, or one beside it, changed while the run read it"):
        generate(fingerprint(open_dataset(log, "")) if known else "")


def test_a_file_that_grew_between_its_fingerprint_and_the_reading(generate, log):
    before = fingerprint(open_dataset(log, ""))
    append(log)
    with pytest.raises(StepError, match="changed while the run read it; run again when nobody writes there"):
        generate(before)
