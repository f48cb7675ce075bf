"""What the properties of our pipeline's steps and artifacts mean.

Steps of other pipelines are read too; of them only the names, states and parameters are understood.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lineage.graph import COMPARED, RESOLVER, Artifact, Execution, Graph

MODEL, PUSHED_MODEL, EXAMPLES, CATALOG = "Model", "PushedModel", "Examples", "ItemCatalog"
EVALUATION, BLESSING = "ModelEvaluation", "ModelBlessing"
STATISTICS, HYPERPARAMETERS = "ExampleStatistics", "HyperParameters"
STATISTICS_GEN, TRANSFORM, PUSHER = "StatisticsGen", "Transform", "Pusher"

# Types of our own executions, by the names of their steps. Others are named by their type.
_STEPS = {
    "RatingsExampleGen": "ExampleGen",
    "ImportSchemaGen": "SchemaGen",
    "StrictExampleValidator": "ExampleValidator",
    RESOLVER: "LatestBlessedModel",
    "RecommenderTrainer": "Trainer",
    "GatingEvaluator": "Evaluator",
    "LastBlessedModel": "LatestBlessedModel",
    "TFLitePusher": "Pusher",
}
# Steps of one type that a pipeline may have twice: what the configuration of the other one holds, and its name.
_TWICE = {TRANSFORM: ("refit", "RefitTransform"), "RecommenderTrainer": ("teaches", "Teacher")}
# The section of the configuration that a step's settings come from.
_SECTIONS = {
    "ExampleGen": "example_gen",
    "RefitTransform": "transform",
    "ExampleValidator": "validation",
    "Transform": "transform",
    "Tuner": "trainer",
    "Teacher": "teacher",
    "Trainer": "trainer",
    "Refit": "refit",
    "LatestBlessedModel": "gate",
    "Evaluator": "gate",
    "Pusher": "pusher",
}
_GATE = {
    ("example_count", "value"): "gate.min_targets",
    ("recall_at_10", "value"): "gate.min_recall_at_10",
    ("recall_at_10_lift", "value"): "gate.min_lift_over_popularity",
    ("recall_at_10_lift_over_markov", "value"): "gate.min_lift_over_markov",
    ("recall_at_10", "change"): "gate.max_regression",  # of runs before the gate allowed what chance explains
}
# What Kubeflow notes of an execution beside its parameters.
_BOOKKEEPING = {"task_name", "display_name", "image", "namespace", "pod_name", "pod_uid", "cache_fingerprint"}

COUNTS = {"ratings": "interactions", "users": "users", "items": "items"}  # of data, in words

METRICS = {
    "recall_at_10": "Recall@10",
    "recall_at_1": "Recall@1",
    "recall_at_5": "Recall@5",
    "recall_at_50": "Recall@50",
    "ndcg_at_10": "NDCG@10",
    "mrr": "MRR",
    "coverage_at_10": "Coverage@10",
    "recall_at_10_lift": "Recall@10 / popularity's",
    "recall_at_10_lift_over_markov": "Recall@10 / Markov's",
    "recall_at_10_standard_error": "standard error of Recall@10",
    "recall_at_10_change": "Recall@10 above the baseline's",
    "recall_at_10_change_standard_error": "standard error of that difference",
    "example_count": "targets",
    "popularity_recall_at_10": "popularity list's Recall@10",
    "markov_recall_at_10": "Markov's Recall@10",
    "baseline_recall_at_10": "the baseline's Recall@10",
}
HEADLINE = "recall_at_10"
REFITTED = "refitted_model"  # the Pusher's input


@dataclass(frozen=True)
class Evaluation:
    """What an Evaluator found of a model.

    Attributes:
        id: of the ModelEvaluation artifact.
        uri: its folder.
        blessing_id: of the ModelBlessing artifact; None where there is none.
        blessed: whether that blesses this model.
        baseline_id: the model that it was compared with, where there was one.
        metrics: on the test split, by the Evaluator's names; empty where it recorded none.
    """

    id: int
    uri: str
    blessing_id: int | None
    blessed: bool
    baseline_id: int | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Push:
    """What a Pusher published.

    Attributes:
        id: of the PushedModel artifact.
        destination: folder of the version.
        version: its name.
        sha256: of `model.tflite`.
        pipeline: whose it is.
        code_version: git commit of the checkout that pushed it.
        when: milliseconds since the epoch.
    """

    id: int
    destination: str
    version: str
    sha256: str
    pipeline: str
    code_version: str
    when: int


@dataclass(frozen=True)
class Story:
    """How a model came to be.

    Attributes:
        model_id: of the Model artifact.
        model_uri: its folder.
        data: `name`, `fingerprint`, `fingerprint_of`, `ratings`, `users`, `items` and `path`, as far as they are known.
        code: fingerprint of the code of each step that took part, by step.
        settings: by key of the configuration.
        tuned: address of the hyperparameters that a Tuner found, and that win over the settings; empty without one.
        evaluations: of the model, oldest first.
        pushes: of the model, oldest first.
        refitted_id: of the Model artifact that was fitted anew for the push; None where the model itself was pushed.
    """

    model_id: int
    model_uri: str
    data: dict[str, Any]
    code: dict[str, str]
    settings: dict[str, Any]
    tuned: str
    evaluations: list[Evaluation]
    pushes: list[Push]
    refitted_id: int | None = None


def step_name(execution: Execution) -> str:
    """The name of a step, as `--from-node` takes it."""
    # Kubeflow has one type for all executions, and names them here.
    named = execution.properties.get("task_name") or execution.properties.get("display_name")
    if not named and execution.type in _TWICE:
        key, other = _TWICE[execution.type]
        custom = parameters(execution).get("custom_config")
        named = other if isinstance(custom, dict) and custom.get(key) else ""
    return str(named) if named else _STEPS.get(execution.type, execution.type)


def is_ours(steps: Iterable[str]) -> bool:
    """Whether steps are those of this project's pipeline, by their names."""
    return any(step in _SECTIONS for step in steps)


def parameters(execution: Execution) -> dict[str, Any]:
    """The parameters that a step was given, JSON among them read."""
    held = execution.properties
    given = held["inputs"] if isinstance(held.get("inputs"), dict) else held
    return {name: _read(value) for name, value in given.items()}


def settings(execution: Execution) -> dict[str, Any]:
    """A step's settings by key of the configuration, such as `trainer.dropout`.

    Of a step that is not of our pipeline, all parameters by step and name.
    """
    step, given = step_name(execution), parameters(execution)
    section = _SECTIONS.get(step)
    if section is None:
        return {
            key: held
            for name, value in given.items()
            if name not in _BOOKKEEPING and value not in (None, "", [])
            for key, held in _flat(value, f"{step}.{name}").items()
        }
    if isinstance(config := given.get("eval_config"), dict):
        return _gate(config)
    custom = given.get("custom_config")
    told = custom if isinstance(custom, dict) else given
    own = {section: told.get("settings"), "tuner": told.get("tuner")}
    return {k: v for name, held in own.items() if isinstance(held, dict) for k, v in _flat(held, name).items()}


def code(execution: Execution) -> str:
    """Fingerprint of the code of a step; empty where it has none."""
    given = parameters(execution)
    custom = given.get("custom_config")
    return str(given.get("code") or (custom.get("code") if isinstance(custom, dict) else None) or "")


def metrics(evaluation: Artifact) -> dict[str, float]:
    """The metrics that an evaluation has as properties."""
    held = evaluation.properties
    # Kubeflow keeps all numbers as floats, TFX's mark of external artifacts among them.
    return {name: value for name, value in held.items() if isinstance(value, float) and name != "is_external"}


def push(graph: Graph, artifact: Artifact) -> Push | None:
    """What a PushedModel artifact says; None where nothing was pushed."""
    held = artifact.properties
    if not held.get("pushed"):
        return None
    maker = graph.maker(artifact.id)
    given = parameters(graph.executions[maker]) if maker in graph.executions else {}
    return Push(
        id=artifact.id,
        destination=str(held.get("pushed_destination", "")),
        version=str(held.get("pushed_version", "")),
        sha256=str(held.get("sha256", "")),
        pipeline=str(given.get("pipeline_name", "")),
        code_version=str(given.get("code_version", "")),
        when=artifact.created,
    )


def pushed_model(graph: Graph, pushed: int) -> int | None:
    """The Model artifact that a PushedModel artifact was made of."""
    return _input(graph, graph.maker(pushed), MODEL)


def data_of(executions: list[Execution], artifacts: list[Artifact]) -> dict[str, Any]:
    """What is known of the data that ExampleGen executions read and their artifacts hold."""
    data: dict[str, Any] = {}
    for artifact in artifacts:
        held = artifact.properties
        named = {"name": "data_name", "fingerprint": "data_fingerprint", "fingerprint_of": "data_fingerprint_of"}
        data |= {key: held[name] for key, name in named.items() if held.get(name)}
        if artifact.type == CATALOG:
            data |= {key: int(held[key]) for key in ("ratings", "users", "items") if key in held}
    for execution in executions:
        given = parameters(execution)
        if "data_fingerprint" in given:
            data["path"] = given.get("data")
            data.setdefault("fingerprint", given["data_fingerprint"])
    order = ("name", "fingerprint", "fingerprint_of", "ratings", "users", "items", "path")
    return {key: data[key] for key in order if data.get(key) not in (None, "")}


def story(graph: Graph, model: int, pushed: int | None = None) -> Story:
    """How a model came to be.

    Args:
        graph: holds the model's ancestors, and what was made of it as far as that shall be told.
        model: id of the Model artifact.
        pushed: id of a PushedModel artifact: then of the model's pushes this alone is told, and of its evaluations
            the one that this push relied on.
    """
    makers = _upstream(graph, model)
    artifacts = [graph.artifacts[link.artifact] for step in makers for link in graph.outputs(step.id)]
    if pushed is None:
        takers = sorted({link.execution for link in graph.takers(model) if link.name == "model"})
        evaluators = [taker for taker in takers if _output(graph, taker, EVALUATION) is not None]
        pushers = [taker for taker in takers if _output(graph, taker, PUSHED_MODEL) is not None]
    else:
        pushers = [maker for maker in [graph.maker(pushed)] if maker is not None]
        relied_on = [_input(graph, pusher, EVALUATION) for pusher in pushers]
        evaluators = [maker for maker in (graph.maker(i) for i in relied_on if i is not None) if maker is not None]
    refitted = next(
        (link.artifact for pusher in pushers[-1:] for link in graph.inputs(pusher) if link.name == REFITTED), None
    )
    refitter = None if refitted is None else graph.maker(refitted)
    told = [
        *makers,
        *(graph.executions[step] for step in (*evaluators[-1:], refitter, *pushers[-1:]) if step in graph.executions),
    ]
    outputs = [_output(graph, pusher, PUSHED_MODEL) for pusher in pushers]
    pushes = [push(graph, graph.artifacts[output]) for output in outputs if output is not None]
    return Story(
        model_id=model,
        model_uri=graph.artifacts[model].uri,
        data=data_of(makers, artifacts),
        code={step_name(step): code(step) for step in told if code(step)},
        settings={key: value for step in told for key, value in settings(step).items()},
        tuned=next((artifact.uri for artifact in artifacts if artifact.type == HYPERPARAMETERS), ""),
        evaluations=[evaluation(graph, evaluator, model) for evaluator in evaluators],
        pushes=[found for found in pushes if found],
        refitted_id=refitted,
    )


def evaluation(graph: Graph, evaluator: int, model: int) -> Evaluation:
    """What an execution of the Evaluator found of a model."""
    made = {graph.artifacts[link.artifact].type: graph.artifacts[link.artifact] for link in graph.outputs(evaluator)}
    found, blessing = made[EVALUATION], made.get(BLESSING)
    held = blessing.properties if blessing else {}
    return Evaluation(
        id=found.id,
        uri=found.uri,
        blessing_id=blessing.id if blessing else None,
        blessed=held.get("blessed") == 1
        and model in [i.artifact for i in graph.inputs(evaluator) if i.name == "model"],
        baseline_id=next((link.artifact for link in graph.inputs(evaluator) if link.name == "baseline_model"), None),
        metrics=metrics(found),
    )


def _upstream(graph: Graph, artifact: int) -> list[Execution]:
    """The executions of a graph that an artifact depends on, first ones first."""
    found: set[int] = set()
    wanted = [artifact]
    while wanted:
        maker = graph.maker(wanted.pop())
        if maker is not None and maker not in found and maker in graph.executions:
            found.add(maker)
            wanted += [link.artifact for link in graph.inputs(maker) if link.name not in COMPARED]
    return [graph.executions[execution] for execution in sorted(found)]


def _input(graph: Graph, execution: int | None, kind: str) -> int | None:
    """The artifact of a type that an execution took, but for the baseline."""
    links = graph.inputs(execution) if execution is not None else []
    return next(
        (i.artifact for i in links if graph.artifacts[i.artifact].type == kind and i.name not in COMPARED), None
    )


def _output(graph: Graph, execution: int, kind: str) -> int | None:
    """The artifact of a type that an execution made."""
    return next((o.artifact for o in graph.outputs(execution) if graph.artifacts[o.artifact].type == kind), None)


def _gate(config: dict[str, Any]) -> dict[str, Any]:
    """The gate's limits, as `components/evaluator/eval_config.py` puts them into TFMA's configuration."""
    found = {}
    for spec in config.get("metrics_specs", []):
        for metric, slices in spec.get("per_slice_thresholds", {}).items():
            for of_slice in slices.get("thresholds", []):
                threshold = of_slice.get("threshold", {})
                bound = threshold.get("value_threshold", {}).get("lower_bound")
                change = threshold.get("change_threshold", {}).get("relative")
                if bound is not None and (metric, "value") in _GATE:
                    found[_GATE[metric, "value"]] = bound
                if change is not None and (metric, "change") in _GATE:
                    found[_GATE[metric, "change"]] = -change
    return found


def _read(value: Any) -> Any:
    """A value, or what it says where it is JSON text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _flat(value: Any, name: str) -> dict[str, Any]:
    """Nested settings by dotted keys; lists stay whole."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, held in value.items():
        flat |= _flat(held, f"{name}.{key}")
    return flat
