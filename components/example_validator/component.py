"""ExampleValidator that stops the run, for what the schema does not allow and for too much drift."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel_utils, component_spec, standard_artifacts
from tfx.types.standard_component_specs import ExampleValidatorSpec

from components.artifacts import ItemCatalog
from components.code_version import step_version
from components.example_validator.executor import Executor
from components.example_validator.settings import ValidationSettings


class StrictExampleValidatorSpec(component_spec.ComponentSpec):
    """Parameters, inputs and outputs of `StrictExampleValidator`."""

    PARAMETERS = {
        **ExampleValidatorSpec.PARAMETERS,
        "record": component_spec.ExecutionParameter(type=str),
        "made_by": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {**ExampleValidatorSpec.INPUTS, "catalog": component_spec.ChannelParameter(type=ItemCatalog)}
    OUTPUTS = ExampleValidatorSpec.OUTPUTS


class StrictExampleValidator(base_component.BaseComponent):
    """Compares statistics with the schema and with the last run's; too much of anything fails the run.

    Args:
        statistics: of the examples.
        schema: what they must look like.
        catalog: the items, and how often each was rated.
        record: the file that names the statistics of the last run; see `record.py`.
        made_by: what the statistics depend on besides the data: those made by something else are not compared.
        settings: the limits.

    Outputs:
        anomalies: TFDV's, by split, those that are drift in the train split; and `drift.json`, see `results.py`.
    """

    SPEC_CLASS = StrictExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        statistics: types.BaseChannel,
        schema: types.BaseChannel,
        catalog: types.BaseChannel,
        record: str,
        made_by: str,
        settings: ValidationSettings,
    ):
        super().__init__(
            spec=StrictExampleValidatorSpec(
                statistics=statistics,
                schema=schema,
                catalog=catalog,
                record=record,
                made_by=made_by,
                settings=settings.model_dump_json(),
                code=step_version("example_validator"),
                anomalies=channel_utils.as_channel([standard_artifacts.ExampleAnomalies()]),
            )
        )
