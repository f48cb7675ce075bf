"""ExampleValidator that stops the run if the data violates the schema or drifts too far from the last run's data."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec
from tfx.types.standard_artifacts import ExampleAnomalies, ExampleStatistics, Schema

from components.artifacts import ItemCatalog
from components.component import StepComponent
from components.example_validator.executor import Executor


class StrictExampleValidator(StepComponent):
    """Compares statistics with the schema and with the last run's statistics; fails the run on anomalies and drift.

    Args:
        statistics: statistics of the examples.
        schema: the schema that the examples must match.
        catalog: the items, with the number of interactions of each.
        record: path of the file that names the statistics of the last run; see `record.py`.
        made_by: the settings that the statistics depend on; runs with other settings are not compared.
        settings: `ValidationSettings`, the limits of drift.

    Outputs:
        anomalies: TFDV's anomalies by split, with drift as anomalies of the train split; and `drift.json`, see
            `results.py`.
    """

    PARAMETERS = {"record": str, "made_by": str, "settings": str}
    INPUTS = {"statistics": ExampleStatistics, "schema": Schema, "catalog": ItemCatalog}
    OUTPUTS = {"anomalies": ExampleAnomalies}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "example_validator"
