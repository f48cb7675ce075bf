"""Runs of the ExampleValidator on generated data, without the steps before it."""

from __future__ import annotations

import collections
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tfx.types import artifact_utils, standard_artifacts

from components import features
from components.artifacts import ItemCatalog
from components.example_validator.executor import Executor
from components.example_validator.settings import ValidationSettings

SCHEMA = Path(__file__).parents[3] / "data" / "schema.pbtxt"
Log = Mapping[str, list[tuple[str, float]]]


class Pipeline:
    """Validates one log after another, as the runs of one pipeline do."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.record = folder / "runs" / "last_statistics"
        self.runs = 0

    def run(
        self, log: Log, *, settings: dict[str, Any] | None = None, made_by: str = "temporal", **options: Any
    ) -> standard_artifacts.ExampleAnomalies:
        """Validates a log.

        Args:
            log: (item, rating) by user, in order.
            settings: changes to the default limits.
            made_by: stands for the settings of ExampleGen.
            options: `first_time`, the timestamp of each user's first interaction, and `genres` of items by id.
        """
        self.runs += 1
        folder = self.folder / str(self.runs)
        inputs = {
            "statistics": [self._statistics(log, folder / "statistics", options.get("first_time", 0))],
            "schema": [standard_artifacts.Schema()],
            "catalog": [ItemCatalog()],
        }
        inputs["schema"][0].uri, inputs["catalog"][0].uri = str(folder / "schema"), str(folder / "catalog")
        (folder / "schema").mkdir()
        shutil.copy(SCHEMA, folder / "schema")
        self._write_catalog(log, folder / "catalog", options.get("genres", {}))
        anomalies = standard_artifacts.ExampleAnomalies()
        anomalies.uri = str(folder / "anomalies")
        limits = ValidationSettings.model_validate(settings or {})
        properties = {"record": str(self.record), "made_by": made_by, "settings": limits.model_dump_json(), "code": ""}
        Executor().Do(inputs, {"anomalies": [anomalies]}, {**properties, "exclude_splits": "[]"})
        return anomalies

    def _statistics(self, log: Log, folder: Path, first_time: int) -> standard_artifacts.ExampleStatistics:
        columns = {
            features.USER_ID: [[user.encode()] for user in log],
            features.ITEM_ID: [[item.encode() for item, _ in rows] for rows in log.values()],
            features.RATING: pa.array(
                [[rating for _, rating in rows] for rows in log.values()], pa.list_(pa.float32())
            ),
            features.TIMESTAMP: [[first_time + at for at in range(len(rows))] for rows in log.values()],
        }
        generated = generate_statistics_in_memory(pa.RecordBatch.from_pydict(columns), tfdv.StatsOptions())
        (folder / "Split-train").mkdir(parents=True)
        (folder / "Split-train" / "FeatureStats.pb").write_bytes(generated.SerializeToString())
        statistics = standard_artifacts.ExampleStatistics()
        statistics.uri = str(folder)
        statistics.split_names = artifact_utils.encode_split_names([features.TRAIN])
        return statistics

    def _write_catalog(self, log: Log, folder: Path, genres: Mapping[str, list[str]]) -> None:
        counts = collections.Counter(item for rows in log.values() for item, _ in rows)
        dataset = {
            "fingerprint": hashlib.sha256(json.dumps(log).encode()).hexdigest(),
            "ratings": counts.total(),
            "users": len(log),
        }
        folder.mkdir()
        (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
        lines = [
            json.dumps({"id": id_, "title": id_, "features": {"genres": genres.get(id_, [])}, "ratings": counts[id_]})
            for id_ in {**counts, **genres}
        ]
        (folder / "items.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.fixture(scope="session")
def make_log() -> Callable[..., Log]:
    """Returns a function that makes a log; by default 60 users with about 20 of 50 items. `shift` moves the items."""

    def make(users: int = 60, items: int = 50, length: int = 20, shift: int = 0) -> Log:
        return {
            f"u{user}": [
                (f"i{(user * 7 + at * at + shift) % items}", float(1 + (user + at + shift) % 5))
                for at in range(length + user % 5)
            ]
            for user in range(users)
        }

    return make
