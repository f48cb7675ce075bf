"""The last model that was good enough, where no resolver can look it up: Kubeflow Pipelines 2 has none.

A file, the record, holds its URI. The Evaluator writes it, the next run's first steps read it. The model is copied:
Kubeflow's launcher takes no output that lies outside the folders of its own run.
"""

from __future__ import annotations

import os
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, channel_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.errors import StepError
from components.trees import copy_tree

SOURCE = "copy_of"  # custom property with the URI of the model that was blessed


def remember(record: str, uri: str) -> None:
    """Let a record hold the URI of a Model artifact."""
    fileio.makedirs(os.path.dirname(record))
    with fileio.open(record, "w") as stream:
        stream.write(f"{uri}\n")


def holds_model(uri: str) -> bool:
    """Whether there is a SavedModel in the folder of a Model artifact."""
    return bool(fileio.exists(os.path.join(path_utils.serving_model_dir(uri), "saved_model.pb")))


class Executor(base_executor.BaseExecutor):
    """Hands on a copy of the model of the record, or an artifact without a model where there is no record yet."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class.

        Raises:
            StepError: the model of the record is gone.
        """
        record = exec_properties["record"]
        if not fileio.exists(record):
            return
        with fileio.open(record) as stream:
            uri = stream.read().strip()
        if not holds_model(uri):
            raise StepError(
                f"{record} names {uri} as the last blessed model, which is gone; bring it back, or delete the record "
                "to bless the next model without a comparison"
            )
        model = artifact_utils.get_single_instance(output_dict["model"])
        copy_tree(uri.rstrip("/"), model.uri)
        model.set_string_custom_property(SOURCE, uri)


class LastBlessedModelSpec(component_spec.ComponentSpec):
    """Parameters and outputs of `LastBlessedModel`."""

    PARAMETERS = {"record": component_spec.ExecutionParameter(type=str)}
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class LastBlessedModel(base_component.BaseComponent):
    """Finds the last blessed model by its record. It must never come from a cache.

    Args:
        record: the file that holds its URI.

    Outputs:
        model: a copy of it; holds no SavedModel where none was blessed yet.
    """

    SPEC_CLASS = LastBlessedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, record: str):
        super().__init__(
            spec=LastBlessedModelSpec(record=record, model=channel_utils.as_channel([standard_artifacts.Model()]))
        )
