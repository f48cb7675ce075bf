"""The steps of a run that starts at a given step."""

from __future__ import annotations

import pytest
from tfx.dsl.compiler import compiler
from tfx.orchestration.portable import partial_run_utils

from pipeline.config import PipelineConfig
from pipeline.local_pipeline import create_local_pipeline
from pipeline.steps import first_of


@pytest.mark.parametrize(
    ("start", "settings", "run"),
    [
        ("Trainer", {}, {"Trainer", "LatestBlessedModel", "Evaluator", "Pusher"}),
        (
            "Trainer",
            {"refit": True, "trainer": {"warm_start": True}},
            {"WarmStart", "Trainer", "LatestBlessedModel", "Evaluator", "RefitTransform", "Refit", "Pusher"},
        ),
        # LatestBlessedModel runs again: the last run may lack its result, and another model may be blessed meanwhile.
        ("Evaluator", {}, {"LatestBlessedModel", "Evaluator", "Pusher"}),
        ("Pusher", {}, {"Pusher"}),
        ("Refit", {"example_gen": {"split": "sessions"}}, {"Refit", "Pusher"}),
    ],
)
def test_a_partial_run_has_the_steps_that_depend_on_its_start(tmp_path, start, settings, run):
    config = PipelineConfig.model_validate(settings)
    pipeline = create_local_pipeline(
        config, tmp_path, "", tmp_path / "output", tmp_path / "serving", tmp_path, enable_cache=True
    )
    compiled = compiler.Compiler().compile(pipeline)
    partial_run_utils.mark_pipeline(compiled, from_nodes=[first_of(start, config.steps())])
    nodes = [node.pipeline_node for node in compiled.nodes]
    assert {node.node_info.id for node in nodes if node.execution_options.HasField("run")} == run
