"""The Evaluator stores its metrics as properties of its artifact, so that ML Metadata shows them without TFMA."""

from __future__ import annotations

from tfx.components.evaluator import executor as stock
from tfx.types import standard_artifacts

from components.evaluator import component


def test_metrics_of_the_entire_test_split_are_recorded(monkeypatch):
    """They are floats, and stored after the stock executor ran; differences to the baseline are left out."""
    executed = []
    monkeypatch.setattr(stock.Executor, "Do", lambda self, inputs, outputs, properties: executed.append(outputs))
    metrics = {
        "overall": {"recall_at_10": 0.25, "recall_at_10_diff": 0.1, "example_count": 40},
        "slices": {"history_bucket:1": {"mrr": 0.5}},
    }
    monkeypatch.setattr(component, "read_metrics", lambda uri: metrics if executed and uri == "/evaluation" else {})
    evaluation = standard_artifacts.ModelEvaluation()
    evaluation.uri = "/evaluation"
    component.Executor().Do({}, {"evaluation": [evaluation], "blessing": [standard_artifacts.ModelBlessing()]}, {})
    recorded = evaluation.mlmd_artifact.custom_properties
    assert {name: value.double_value for name, value in recorded.items()} == {
        "recall_at_10": 0.25,
        "example_count": 40.0,
    }


def test_the_component_runs_the_executor_that_records_metrics():
    assert component.GatingEvaluator.EXECUTOR_SPEC.executor_class is component.Executor
