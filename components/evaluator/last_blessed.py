"""The models that were good enough, where no resolver can look them up: Kubeflow Pipelines 2 has none.

A file, the record, has a line of JSON for each of the last ones. The Evaluator adds to it, the next run reads it. The
model is copied: Kubeflow's launcher takes no output that lies outside the folders of its own run.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.dsl.io import fileio
from tfx.types import Artifact, artifact_utils, channel_utils, component_spec, standard_artifacts

from components.conditional import update
from components.errors import StepError
from components.evaluator.blessed import Blessed, best_first, first_whole, holds_model
from components.evaluator.settings import GateSettings
from components.trees import copy_tree

SOURCE = "copy_of"  # custom property with the URI of the model that was blessed
WHICH = ("baseline_runs", "baseline_model", "damaged_baseline")  # the settings that decide which model it is
MOST_REMEMBERED = 100  # twice the most that `baseline_runs` can be, since a model may be blessed more than once


def remember(record: str, blessed: Blessed) -> None:
    """Adds a model, by its URI, to a record; of two runs at once, each adds its own.

    Raises:
        StepError: the record cannot be read.
    """

    def add(text: str | None) -> str:
        models = [*_read(record, text or ""), blessed][-MOST_REMEMBERED:]
        return "".join(f"{json.dumps(dataclasses.asdict(model))}\n" for model in models)

    update(record, add)


def recall(record: str) -> list[Blessed]:
    """The models of a record, in the order in which they were blessed; none where there is no record.

    Raises:
        StepError: the record cannot be read.
    """
    if not fileio.exists(record):
        return []
    with fileio.open(record) as stream:
        return _read(record, stream.read())


def _read(record: str, text: str) -> list[Blessed]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    try:
        # An earlier version left the URI itself.
        return [Blessed(**json.loads(line)) if line.startswith("{") else Blessed(line) for line in lines]
    except (ValueError, TypeError):
        raise StepError(
            f"{record}: not a record of blessed models; delete it to bless the next model without a comparison"
        ) from None


class Executor(base_executor.BaseExecutor):
    """Hands on a copy of the model to compare with, or an artifact without a model where there is none."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """See the base class.

        Raises:
            StepError: the model to compare with is gone, or the record cannot be read.
        """
        record, settings = exec_properties["record"], GateSettings.model_validate_json(exec_properties["settings"])
        if settings.baseline_model:
            names, origin = [settings.baseline_model], "gate.baseline_model"
        else:
            names, origin = best_first(recall(record), settings.baseline_runs), record
        uri = first_whole(
            names,
            lambda name: "" if holds_model(name) else f"{origin} names {name}, where no model is",
            settings.damaged_baseline,
            "gate.damaged_baseline",
        )
        if uri:
            model = artifact_utils.get_single_instance(output_dict["model"])
            copy_tree(uri.rstrip("/"), model.uri)
            model.set_string_custom_property(SOURCE, uri)


class LastBlessedModelSpec(component_spec.ComponentSpec):
    """Parameters and outputs of `LastBlessedModel`."""

    PARAMETERS = {
        "record": component_spec.ExecutionParameter(type=str),
        "settings": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: dict[str, component_spec.ChannelParameter] = {}
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class LastBlessedModel(base_component.BaseComponent):
    """Finds the model to compare with by the record of blessed models. It must never come from a cache.

    Args:
        record: the file that holds their URIs.
        settings: of the gate.

    Outputs:
        model: a copy of it; holds no SavedModel where none was blessed yet.
    """

    SPEC_CLASS = LastBlessedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, record: str, settings: GateSettings):
        super().__init__(
            spec=LastBlessedModelSpec(
                record=record,
                settings=settings.model_dump_json(include=set(WHICH)),
                model=channel_utils.as_channel([standard_artifacts.Model()]),
            )
        )
