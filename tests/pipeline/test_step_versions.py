"""The cache key of every step has the versions of the code, files and libraries that its result depends on."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
from google.protobuf import json_format
from tfx.dsl.components.common.resolver import Resolver

from components import code_version, component
from components.evaluator import component as evaluator
from pipeline import pipeline, steps
from pipeline.config import PipelineConfig
from pipeline.pipeline import Places, create_pipeline

PLACES = Places(
    data="log.csv",
    data_fingerprint="1",
    cache_dir="cache",
    pipeline_root="root",
    serving_root="serving",
    statistics_record="record",
)


def keys() -> dict[str, str]:
    """Returns the parameters of every step; they and the inputs are the cache key of a step."""
    config = PipelineConfig.model_validate({"tuner": {"enabled": True}})
    return {
        component.id: json.dumps(
            {
                name: json_format.MessageToJson(value) if hasattr(value, "DESCRIPTOR") else str(value)
                for name, value in component.spec.exec_properties.items()
            }
        )
        for component in create_pipeline(config, PLACES).components
        if not isinstance(component, Resolver)
    }


@pytest.fixture
def before() -> dict[str, str]:
    return keys()


def changed_steps(before: dict[str, str]) -> set[str]:
    return {name for name, parameters in keys().items() if parameters != before[name]}


def test_the_same_code_gives_the_same_keys(before):
    assert changed_steps(before) == set()


def test_every_step_of_the_project_has_the_version_of_its_code(before, monkeypatch):
    for module in (pipeline, component, evaluator):
        monkeypatch.setattr(module, "step_version", lambda step: "other")
    assert changed_steps(before) == set(before) - {steps.STATISTICS_GEN, steps.SCHEMA_GEN}


def test_the_stock_steps_have_versions_of_their_file_and_libraries(before, monkeypatch):
    monkeypatch.setattr(pipeline, "file_version", lambda name: "other")
    assert changed_steps(before) == {steps.SCHEMA_GEN}
    monkeypatch.undo()
    installed = importlib.metadata.version
    other_version = lambda name: "0" if name == "tensorflow-data-validation" else installed(name)  # noqa: E731
    monkeypatch.setattr(code_version.importlib.metadata, "version", other_version)
    assert steps.STATISTICS_GEN in changed_steps(before)


def test_the_evaluator_records_the_settings_that_choose_the_baseline():
    config = PipelineConfig.model_validate({"gate": {"baseline_runs": 2}})
    (component,) = [step for step in create_pipeline(config, PLACES).components if step.id == steps.EVALUATOR]
    recorded = json.loads(component.spec.exec_properties["settings"])
    assert recorded == {"baseline_runs": 2, "baseline_model": "", "damaged_baseline": "stop"}
