"""Compares the statistics of a run with the schema and with the statistics of the last run.

TFX's own ExampleValidator compares with the schema only, and does not stop the run. TFDV's drift comparators, which a
schema can contain, have only one limit each, read only the most frequent items, and do not measure new items, item
features or the lengths of timelines. This step adds its own measures to the same anomalies.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.components.example_validator import executor as stock
from tfx.dsl.io import fileio
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils
from tfx.types.standard_component_specs import ANOMALIES_KEY, STATISTICS_KEY
from tfx.utils import io_utils, writer_utils
from tfx.utils.typing_utils import ArtifactMultiDict

from components import features
from components.addresses import address
from components.errors import StepError
from components.example_validator.drift import OK, STOP, Measure, compare, write_into
from components.example_validator.profile import read_profile
from components.example_validator.record import Passed, last_other, mark, read_record, write_record
from components.example_validator.results import write_drift
from components.example_validator.settings import ValidationSettings

progress = logging.getLogger("recommender.progress")


class Executor(stock.Executor):
    """Validates as the stock executor does, compares with the last run, and raises an error for anomalies or drift."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> execution_result_pb2.ExecutorOutput:
        """See the base class.

        Raises:
            StepError: the data violates the schema or drifts too far; lists each anomaly, or each measure over its
                limit.
        """
        anomalies = artifact_utils.get_single_instance(output_dict[ANOMALIES_KEY])
        statistics, catalog = (artifact_utils.get_single_uri(input_dict[key]) for key in (STATISTICS_KEY, "catalog"))
        profile = read_profile(statistics, catalog)
        passed = Passed(profile.fingerprint, exec_properties["made_by"], address(statistics), address(catalog))
        # Before the stock executor, whose result copies the properties of the anomalies.
        mark(anomalies, passed, exec_properties["record"])
        output = super().Do(input_dict, output_dict, exec_properties)

        split_names = artifact_utils.decode_split_names(anomalies.split_names)
        violations = [
            f"{split} split, {line}"
            for split in split_names
            for line in _describe(_read(artifact_utils.get_split_uri([anomalies], split)))
        ]
        if violations:
            raise StepError(
                f"the data does not match data/schema.pbtxt: {'; '.join(violations)}; fix the data or change the schema"
            )

        record = read_record(exec_properties["record"])
        before, why_not_compared = _comparable(record, passed)
        measures = []
        if before:
            settings = ValidationSettings.model_validate_json(exec_properties["settings"])
            measures = compare(profile, read_profile(before.statistics, before.catalog), settings)
            train = artifact_utils.get_split_uri([anomalies], features.TRAIN)
            train_anomalies = _read(train)
            write_into(train_anomalies, measures)
            writer_utils.write_anomalies(os.path.join(train, stock.DEFAULT_FILE_NAME), train_anomalies)
        write_drift(anomalies.uri, before, why_not_compared, measures)
        _report(measures)
        write_record(exec_properties["record"], record, passed)
        return output


def _comparable(record: list[Passed], passed: Passed) -> tuple[Passed | None, str]:
    """Returns the data to compare with; or None and the reason."""
    before = last_other(record, passed.fingerprint)
    if before is None:
        return None, "these are the first data of this pipeline"
    if before.made_by != passed.made_by:
        return None, "the settings of example_gen are not those of the last run"
    if not all(fileio.exists(uri) for uri in (before.statistics, before.catalog)):
        progress.warning("drift: not measured, because the last run's statistics are missing: %s", before.statistics)
        return None, f"the last run's statistics are missing: {before.statistics}"
    return before, ""


def _report(measures: list[Measure]) -> None:
    """Logs the measures that warn.

    Raises:
        StepError: a measure stops the run.
    """
    descriptions = [
        f"feature {measure.feature!r}: {measure.describe()}" if measure.feature else measure.describe()
        for measure in measures
        if measure.level == STOP
    ]
    if descriptions:
        raise StepError(
            f"the data drifted too far from the last run's: {'; '.join(descriptions)}; nothing is trained. Fix the "
            "data; or, if it is right, raise the limit or accept it once with --set validation.stop=false; for other "
            "data use another --set name"
        )
    for measure in measures:
        if measure.level != OK:
            progress.warning("drift: %s", measure.describe())


def _read(split_uri: str) -> anomalies_pb2.Anomalies:
    """Returns the anomalies in a split's folder."""
    return anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(io_utils.get_only_uri_in_dir(split_uri)))


def _describe(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """Returns one line for each anomaly."""
    lines = [
        f"feature {name!r}: {info.description.rstrip('.')}" for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        lines.append(f"entire split: {anomalies.dataset_anomaly_info.description.rstrip('.')}")
    return lines
