"""Compares the statistics of a run with the schema, which holds for all, and with those of the last run.

TFX's own ExampleValidator only writes down what it finds, and knows the schema alone. TFDV's comparators of drift could
be put into the schema; but they have one limit each, read the most frequent items and no others, and know nothing of
new items, item features or lengths. What is found here goes into the same anomalies.
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
from components.example_validator.record import Passed, last_other, mark, read_record, remember
from components.example_validator.results import write_drift
from components.example_validator.settings import ValidationSettings

progress = logging.getLogger("recommender.progress")


class Executor(stock.Executor):
    """Validates as the stock executor does, compares with the last run, and raises if there is too much of anything."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> execution_result_pb2.ExecutorOutput:
        """See the base class.

        Raises:
            StepError: names every split, feature and reason; or every measure of drift that is over its limit.
        """
        anomalies = artifact_utils.get_single_instance(output_dict[ANOMALIES_KEY])
        statistics, catalog = (artifact_utils.get_single_uri(input_dict[key]) for key in (STATISTICS_KEY, "catalog"))
        profile = read_profile(statistics, catalog)
        passed = Passed(profile.fingerprint, exec_properties["made_by"], address(statistics), address(catalog))
        # Now, since what the stock executor returns has the properties of this moment.
        mark(anomalies, passed, exec_properties["record"])
        output = super().Do(input_dict, output_dict, exec_properties)

        split_names = artifact_utils.decode_split_names(anomalies.split_names)
        found = [
            f"{split} split, {line}"
            for split in split_names
            for line in _describe(_read(artifact_utils.get_split_uri([anomalies], split)))
        ]
        if found:
            raise StepError(
                "the data does not fit data/schema.pbtxt: " + "; ".join(found) + "; mend the data or change the schema"
            )

        record = read_record(exec_properties["record"])
        before, why_not = _comparable(record, passed)
        measures = []
        if before:
            settings = ValidationSettings.model_validate_json(exec_properties["settings"])
            measures = compare(profile, read_profile(before.statistics, before.catalog), settings)
            train = artifact_utils.get_split_uri([anomalies], features.TRAIN)
            told = _read(train)
            write_into(told, measures)
            writer_utils.write_anomalies(os.path.join(train, stock.DEFAULT_FILE_NAME), told)
        write_drift(anomalies.uri, before, why_not, measures)
        _complain(measures)
        remember(exec_properties["record"], record, passed)
        return output


def _comparable(record: list[Passed], passed: Passed) -> tuple[Passed | None, str]:
    """The data to compare with; or None, and why."""
    before = last_other(record, passed.fingerprint)
    if before is None:
        return None, "these are the first data of this pipeline"
    if before.made_by != passed.made_by:
        return None, "the settings of example_gen are not those of the last run"
    if not all(fileio.exists(uri) for uri in (before.statistics, before.catalog)):
        progress.warning("drift: not looked for, since the last run's statistics are gone: %s", before.statistics)
        return None, f"the last run's statistics are gone: {before.statistics}"
    return before, ""


def _complain(measures: list[Measure]) -> None:
    """Tell warnings, or raise."""
    stops = [one for one in measures if one.level == STOP]
    if stops:
        words = "; ".join(
            f"feature {one.feature!r}: {one.describe()}" if one.feature else one.describe() for one in stops
        )
        raise StepError(
            f"the data is too far from the last run's: {words}; nothing is trained. Mend the data; or if it is right, "
            "raise the limit, or let it pass once with --set validation.stop=false; other data takes another --set name"
        )
    for one in measures:
        if one.level != OK:
            progress.warning("drift: %s", one.describe())


def _read(split_uri: str) -> anomalies_pb2.Anomalies:
    """The anomalies in a split's folder."""
    return anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(io_utils.get_only_uri_in_dir(split_uri)))


def _describe(anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """Anomalies, one line each."""
    lines = [
        f"feature {name!r}: {info.description.rstrip('.')}" for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        lines.append(f"whole split: {anomalies.dataset_anomaly_info.description.rstrip('.')}")
    return lines
