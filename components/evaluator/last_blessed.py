"""Finds the baseline where no resolver can search ML Metadata, as on Kubeflow Pipelines 2.

A file, the record, has one line of JSON for each of the last blessed models. The Evaluator appends to it, and the next
run reads it. The model is copied, because Kubeflow's launcher accepts no output outside the folders of its own run.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Model
from tfx.utils.typing_utils import ArtifactMultiDict

from components.component import StepComponent
from components.conditional import read_text, update
from components.errors import StepError
from components.evaluator.blessed import Blessed, best_first, first_undamaged, holds_model
from components.evaluator.settings import GateSettings
from components.trees import copy_tree

SOURCE = "copy_of"  # custom property: the URI of the blessed model that was copied
BASELINE_SETTINGS = {"baseline_runs", "baseline_model", "damaged_baseline"}  # the settings that choose the baseline
MAX_RECORDED = 100  # twice the maximum of `baseline_runs`, because a model may be blessed more than once


def add_to_record(record: str, blessed: Blessed) -> None:
    """Adds a model to a record. If two runs do so at the same time, the record gets both models.

    Raises:
        StepError: the record cannot be read.
    """

    def append(text: str | None) -> str:
        models = [*_parse(record, text), blessed][-MAX_RECORDED:]
        return "".join(f"{json.dumps(dataclasses.asdict(model))}\n" for model in models)

    update(record, append)


def read_record(record: str) -> list[Blessed]:
    """Returns the models of a record, in the order in which they were blessed; none if there is no record.

    Raises:
        StepError: the record cannot be read.
    """
    return _parse(record, read_text(record))


def _parse(record: str, text: str | None) -> list[Blessed]:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    try:
        # Earlier versions wrote the URI itself, not JSON.
        return [Blessed(**json.loads(line)) if line.startswith("{") else Blessed(line) for line in lines]
    except (ValueError, TypeError):
        raise StepError(
            f"{record}: not a record of blessed models; delete it to bless the next model without a comparison"
        ) from None


class Executor(base_executor.BaseExecutor):
    """Writes a copy of the baseline, or an artifact without a SavedModel if there is none."""

    def Do(
        self, input_dict: ArtifactMultiDict, output_dict: ArtifactMultiDict, exec_properties: dict[str, Any]
    ) -> None:
        """See the base class.

        Raises:
            StepError: the baseline is missing, or the record cannot be read.
        """
        record, settings = exec_properties["record"], GateSettings.model_validate_json(exec_properties["settings"])
        if settings.baseline_model:
            names, origin = [settings.baseline_model], "gate.baseline_model"
        else:
            names, origin = best_first(read_record(record), settings.baseline_runs), record
        uri = first_undamaged(
            names,
            lambda name: "" if holds_model(name) else f"{origin} names {name}, which holds no model",
            settings.damaged_baseline,
        )
        if uri:
            model = artifact_utils.get_single_instance(output_dict["model"])
            copy_tree(uri.rstrip("/"), model.uri)
            model.set_string_custom_property(SOURCE, uri)


class LastBlessedModel(StepComponent):
    """Finds the baseline in the record of blessed models. Its result must never come from the cache.

    Args:
        record: path or URI of the record.
        settings: settings of the gate.

    Outputs:
        model: a copy of the baseline; contains no SavedModel if no model was blessed yet.
    """

    PARAMETERS = {"record": str, "settings": str}
    OUTPUTS = {"model": Model}
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    STEP = "evaluator"

    def __init__(self, record: str, settings: GateSettings):
        super().__init__(record=record, settings=settings.model_dump_json(include=BASELINE_SETTINGS))
