"""ExampleValidator that stops the run: TFX's own only writes down what it finds."""

from __future__ import annotations

from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.components import ExampleValidator
from tfx.components.example_validator import executor as stock
from tfx.dsl.components.base import executor_spec
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.errors import StepError


class Executor(stock.Executor):
    """Validates as the stock executor does, then raises if there is any anomaly."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> execution_result_pb2.ExecutorOutput:
        """See the base class.

        Raises:
            StepError: names every split, feature and reason.
        """
        output = super().Do(input_dict, output_dict, exec_properties)
        artifacts = output_dict[standard_component_specs.ANOMALIES_KEY]
        split_names = artifact_utils.get_single_instance(artifacts).split_names
        found = [
            f"{split} split, {describe}"
            for split in artifact_utils.decode_split_names(split_names)
            for describe in _describe(artifact_utils.get_split_uri(artifacts, split))
        ]
        if found:
            raise StepError(
                "the data does not fit data/schema.pbtxt: " + "; ".join(found) + "; mend the data or change the schema"
            )
        return output


def _describe(split_uri: str) -> list[str]:
    """The anomalies in a split's folder, one line each."""
    anomalies = anomalies_pb2.Anomalies.FromString(io_utils.read_bytes_file(io_utils.get_only_uri_in_dir(split_uri)))
    lines = [
        f"feature {name!r}: {info.description.rstrip('.')}" for name, info in sorted(anomalies.anomaly_info.items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        lines.append(f"whole split: {anomalies.dataset_anomaly_info.description.rstrip('.')}")
    return lines


class StrictExampleValidator(ExampleValidator):
    """Compares statistics with the schema; an anomaly fails the component, and so the run."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
