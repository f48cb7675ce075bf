"""Records stores as TFX writes them with the API of ML Metadata, without running a pipeline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

STEPS = {
    "ExampleGen": "components.example_gen.component.RatingsExampleGen",
    "SchemaGen": "tfx.components.schema_gen.import_schema_gen.component.ImportSchemaGen",
    "StatisticsGen": "tfx.components.statistics_gen.component.StatisticsGen",
    "ExampleValidator": "components.example_validator.component.StrictExampleValidator",
    "Transform": "tfx.components.transform.component.Transform",
    "Trainer": "components.trainer.component.RecommenderTrainer",
    "LatestBlessedModel": "tfx.dsl.components.common.resolver.Resolver",
    "Evaluator": "components.evaluator.component.GatingEvaluator",
    "Pusher": "components.pusher.component.TFLitePusher",
}
INPUTS = {
    "StatisticsGen": ["examples"],
    "ExampleValidator": ["statistics", "schema"],
    "Transform": ["examples", "schema"],
    "Trainer": ["transformed_examples", "transform_graph"],
    "Evaluator": ["examples", "model"],
    "Pusher": ["model", "model_blessing", "evaluation", "catalog", "examples"],
}
OUTPUTS = {
    "ExampleGen": {"examples": "Examples", "catalog": "components.ItemCatalog"},
    "SchemaGen": {"schema": "Schema"},
    "StatisticsGen": {"statistics": "ExampleStatistics"},
    "ExampleValidator": {"anomalies": "ExampleAnomalies"},
    "Transform": {"transformed_examples": "Examples", "transform_graph": "TransformGraph"},
    "Trainer": {"model": "Model", "model_run": "ModelRun"},
    "Evaluator": {"evaluation": "ModelEvaluation", "model_blessing": "ModelBlessing"},
    "Pusher": {"pushed_model": "PushedModel"},
}
STATES = {name: getattr(pb.Execution, name) for name in ("RUNNING", "COMPLETE", "FAILED", "CACHED")}


@dataclass
class RecordedRun:
    """The ids of a recorded run: of its executions by step, and of its artifacts by output."""

    context: int
    executions: dict[str, int] = field(default_factory=dict)
    artifacts: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Writes runs as the local runner does.

    Args:
        path: of the SQLite file.
    """

    def __init__(self, path: Path):
        self.path = path
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = mlmd.MetadataStore(config)
        kinds = {kind for outputs in OUTPUTS.values() for kind in outputs.values()}
        self.artifact_types = {kind: self.store.put_artifact_type(pb.ArtifactType(name=kind)) for kind in sorted(kinds)}
        self.execution_types = {
            step: self.store.put_execution_type(pb.ExecutionType(name=name)) for step, name in STEPS.items()
        }
        self.context_types = {
            name: self.store.put_context_type(pb.ContextType(name=name)) for name in ("pipeline", "pipeline_run")
        }
        self.pipelines: dict[str, pb.Context] = {}
        self.count = 0

    def run(
        self,
        pipeline: str = "films",
        *,
        cached: RecordedRun | None = None,
        cached_until: str = "Pusher",
        last: str = "Pusher",
        last_state: str = "COMPLETE",
        baseline: int | None = None,
        data: str = "ratings-a",
        dropout: float = 0.2,
        recall: float | None = 0.3,
        blessed: bool = True,
        model: bytes = b"model",
        destination: str = "/serving/films/1",
    ) -> RecordedRun:
        """Records a run.

        Args:
            pipeline: its name.
            cached: an earlier run that provides the outputs of the steps up to `cached_until`.
            cached_until: name of a step.
            last: name of the last step that started.
            last_state: state of the last step.
            baseline: id of the model that the new one is compared with.
            data: name of the data; the fingerprint is the SHA-256 of the name.
            dropout: a setting of the Trainer.
            recall: Recall@10; None for an Evaluator that records no metrics.
            blessed: the gate's verdict.
            model: content of the pushed file.
            destination: folder of the pushed version.
        """
        self.count += 1
        contexts = [self._pipeline(pipeline), self._context("pipeline_run", f"run-{self.count}")]
        executions: list[pb.Execution] = []
        artifacts: list[pb.Artifact] = []
        edges: list[tuple[int, int | None, pb.Event]] = []
        sources: dict[str, tuple[int | None, int | None]] = {}  # By output: index among the new ones, or id.
        steps = list(STEPS)[: list(STEPS).index(last) + 1]
        cached_steps = list(STEPS)[: list(STEPS).index(cached_until) + 1] if cached else []
        for index, step in enumerate(steps):
            is_cached = step in cached_steps and step != "LatestBlessedModel"
            state = last_state if step == last and not is_cached else "CACHED" if is_cached else "COMPLETE"
            execution = pb.Execution(type_id=self.execution_types[step], last_known_state=STATES[state])
            parameters = self._parameters(step, pipeline, data, dropout, destination)
            for name, value in parameters.items():
                execution.custom_properties[name].CopyFrom(_value(value))
            executions.append(execution)
            for name in INPUTS.get(step, []):
                edges.append(_edge(index, sources[name], name, pb.Event.INPUT))
            if step == "LatestBlessedModel":
                edges.append(_edge(index, sources["model"], "candidate", pb.Event.INTERNAL_OUTPUT))
                if baseline:
                    edges.append(_edge(index, (None, baseline), "model", pb.Event.OUTPUT))
            if step == "Evaluator" and baseline:
                edges.append(_edge(index, (None, baseline), "baseline_model", pb.Event.INPUT))
            if state not in ("COMPLETE", "CACHED"):
                continue
            for name, kind in OUTPUTS.get(step, {}).items():
                if is_cached and cached:
                    sources[name] = (None, cached.artifacts[name])
                else:
                    artifact = pb.Artifact(
                        type_id=self.artifact_types[kind],
                        uri=f"/runs/{self.count}/{step}/{name}",
                        state=pb.Artifact.LIVE,
                    )
                    properties = self._artifact_properties(name, data, recall, blessed, model, destination)
                    for key, value in properties.items():
                        artifact.custom_properties[key].CopyFrom(_value(value))
                    sources[name] = (len(artifacts), None)
                    artifacts.append(artifact)
                edges.append(_edge(index, sources[name], name, pb.Event.OUTPUT))
        execution_ids, artifact_ids, context_ids = self.store.put_lineage_subgraph(
            executions, artifacts, contexts, edges, reuse_context_if_already_exist=True
        )
        self.pipelines[pipeline].id = context_ids[0]
        ids = {name: known_id or artifact_ids[new or 0] for name, (new, known_id) in sources.items()}
        return RecordedRun(context_ids[1], dict(zip(steps, execution_ids, strict=True)), ids)

    def _pipeline(self, name: str) -> pb.Context:
        return self.pipelines.setdefault(name, self._context("pipeline", name))

    def _context(self, kind: str, name: str) -> pb.Context:
        return pb.Context(type_id=self.context_types[kind], name=name)

    def _parameters(self, step: str, pipeline: str, data: str, dropout: float, destination: str) -> dict[str, Any]:
        return {
            "ExampleGen": {
                "data": f"/data/{data}",
                "data_fingerprint": fingerprint(data),
                "settings": json.dumps({"split": "leave_one_out"}),
                "code": "e" * 16,
            },
            "StatisticsGen": {"stats_options_json": json.dumps({"_num_quantiles_histogram_buckets": 10})},
            "Trainer": {
                "custom_config": json.dumps({"settings": {"dropout": dropout, "encoder": "cnn"}, "code": "c" * 16}),
                "run_fn": "components.trainer.run.run_fn",
            },
            "Evaluator": {
                "eval_config": json.dumps(EVAL_CONFIG),
                "settings": json.dumps({"baseline_runs": 3, "baseline_model": ""}),
                "max_users": 200,
            },
            "Pusher": {
                "pipeline_name": pipeline,
                "push_root": destination.rpartition("/")[0].rpartition("/")[0],
                "settings": json.dumps({"precision": "float16"}),
                "code_version": "0123456789abcdef",
                "fail_unblessed": 0,
                "code": "b" * 16,
            },
        }.get(step, {})

    def _artifact_properties(
        self, output: str, data: str, recall: float | None, blessed: bool, model: bytes, destination: str
    ) -> dict[str, Any]:
        lists = {"popularity_recall_at_10": 0.04, "markov_recall_at_10": 0.21}
        metrics = {"recall_at_10": recall, **lists, "example_count": 100.0} if recall else {}
        pushed = {
            "pushed": 1,
            "pushed_destination": destination,
            "pushed_version": destination.rpartition("/")[2],
            "sha256": hashlib.sha256(model).hexdigest(),
        }
        return {
            "examples": {"data_fingerprint": fingerprint(data)},
            "catalog": {
                "data_name": data,
                "data_fingerprint": fingerprint(data),
                "ratings": 1000,
                "users": 100,
                "items": 50,
            },
            "evaluation": metrics,
            "model_blessing": {"blessed": int(blessed)},
            "pushed_model": pushed if blessed else {"pushed": 0},
        }.get(output, {})


EVAL_CONFIG = {
    "metrics_specs": [
        {
            "per_slice_thresholds": {
                "recall_at_10": {
                    "thresholds": [
                        {
                            "threshold": {
                                "value_threshold": {"lower_bound": 0.05},
                                "change_threshold": {"relative": -0.02},
                            }
                        }
                    ]
                },
                **{
                    name: {"thresholds": [{"threshold": {"value_threshold": {"lower_bound": bound}}}]}
                    for name, bound in (("recall_at_10_lift_over_markov", 1.0), ("example_count", 100.0))
                },
            }
        }
    ]
}


def fingerprint(data: str) -> str:
    """Returns the SHA-256 of the name of data, in place of that of its content."""
    return hashlib.sha256(data.encode()).hexdigest()


def _value(value: Any) -> pb.Value:
    if isinstance(value, int):
        return pb.Value(int_value=value)
    return pb.Value(double_value=value) if isinstance(value, float) else pb.Value(string_value=value)


def _edge(
    execution: int, source: tuple[int | None, int | None], name: str, kind: pb.Event.Type
) -> tuple[int, int | None, pb.Event]:
    event = pb.Event(type=kind, path=pb.Event.Path(steps=[pb.Event.Path.Step(key=name), pb.Event.Path.Step(index=0)]))
    new_index, known_id = source
    if known_id is not None:
        event.artifact_id = known_id
    return execution, new_index, event


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """Returns a recorder of an empty store."""
    return Recorder(tmp_path / "metadata.db")


@pytest.fixture
def make_recorder() -> Callable[[Path], Recorder]:
    """Returns the constructor of a recorder, by the path of an empty store."""
    return Recorder
