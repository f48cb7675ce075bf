"""Interprets the properties of this pipeline's steps and artifacts.

Steps of other pipelines are read too: their names, states and parameters.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lineage.graph import RESOLVER, Artifact, Execution, Graph

MODEL, PUSHED_MODEL, EXAMPLES, CATALOG = "Model", "PushedModel", "Examples", "ItemCatalog"
EVALUATION, BLESSING = "ModelEvaluation", "ModelBlessing"
STATISTICS, HYPERPARAMETERS = "ExampleStatistics", "HyperParameters"
STATISTICS_GEN, TRANSFORM, PUSHER = "StatisticsGen", "Transform", "Pusher"

# Names of our steps by the type of their executions. Other steps are named like their type.
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
# Types that a pipeline may have two steps of: the key that only the second step's `custom_config` has, and its name.
_TWICE = {TRANSFORM: ("refit", "RefitTransform"), "RecommenderTrainer": ("teaches", "Teacher")}
# Section of the configuration that holds a step's settings.
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
# Settings of the gate by metric and kind of threshold.
_GATE = {
    ("example_count", "value"): "gate.min_targets",
    ("recall_at_10", "value"): "gate.min_recall_at_10",
    ("recall_at_10_lift", "value"): "gate.min_lift_over_popularity",
    ("recall_at_10_lift_over_markov", "value"): "gate.min_lift_over_markov",
    ("recall_at_10", "change"): "gate.max_regression",  # in runs of old versions, before the gate used standard errors
}
# Properties that Kubeflow adds to an execution's parameters.
_BOOKKEEPING = {"task_name", "display_name", "image", "namespace", "pod_name", "pod_uid", "cache_fingerprint"}

COUNTS = {"ratings": "interactions", "users": "users", "items": "items"}  # words for the counts of data

QUALITY = {
    "recall_at_10": "Recall@10",
    "recall_at_1": "Recall@1",
    "recall_at_5": "Recall@5",
    "recall_at_50": "Recall@50",
    "ndcg_at_10": "NDCG@10",
    "mrr": "MRR",
    "coverage_at_10": "Coverage@10",
}
METRICS = {
    **QUALITY,
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
LISTS = {"popularity list": "popularity_recall_at_10", "Markov": "markov_recall_at_10"}  # compared with the headline
REFITTED = "refitted_model"  # an input of the Pusher


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a model.

    Attributes:
        id: of the ModelEvaluation artifact.
        uri: folder of the ModelEvaluation artifact.
        blessing_id: of the ModelBlessing artifact; None without one.
        blessed: whether this model is blessed.
        baseline_id: of the Model artifact that it was compared with; None without one.
        metrics: on the test split, by the Evaluator's names; empty if it recorded none.
    """

    id: int
    uri: str
    blessing_id: int | None
    blessed: bool
    baseline_id: int | None
    metrics: dict[str, float]


@dataclass(frozen=True)
class Push:
    """A pushed version of a model.

    Attributes:
        id: of the PushedModel artifact.
        destination: folder of the version.
        version: name of the version.
        sha256: of `model.tflite`.
        pipeline: name of the pipeline.
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
    """The origin of a model, its evaluations and its pushes.

    Attributes:
        model_id: of the Model artifact.
        model_uri: folder of the Model artifact.
        data: `name`, `fingerprint`, `fingerprint_of`, `ratings`, `users`, `items` and `path`, if known.
        code: fingerprint of the code of each step that took part, by step.
        settings: by key of the configuration.
        tuned: address of the hyperparameters from a Tuner, which override the settings; empty without one.
        evaluations: of the model, oldest first.
        pushes: of the model, oldest first.
        refitted_id: of the Model artifact that was refitted for the push; None if the model itself was pushed.
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
    """Returns the name of a step, as `--from-node` takes it."""
    # On Kubeflow all executions have one type, and their names are properties.
    name = execution.properties.get("task_name") or execution.properties.get("display_name")
    if name:
        return str(name)
    key, second = _TWICE.get(execution.type, ("", ""))
    return second if _custom(parameters(execution)).get(key) else _STEPS.get(execution.type, execution.type)


def is_ours(steps: Iterable[str]) -> bool:
    """Returns whether any step name is one of this project's pipeline."""
    return any(step in _SECTIONS for step in steps)


def parameters(execution: Execution) -> dict[str, Any]:
    """Returns the parameters of a step, with JSON text parsed."""
    properties = execution.properties
    given = properties["inputs"] if isinstance(properties.get("inputs"), dict) else properties
    return {name: _parse(value) for name, value in given.items()}


def settings(executions: Iterable[Execution]) -> dict[str, Any]:
    """Returns the settings of steps by key of the configuration, such as `trainer.dropout`.

    For a step of another pipeline, these are all parameters by step and name.
    """
    return {key: value for execution in executions for key, value in _settings(execution).items()}


def _settings(execution: Execution) -> dict[str, Any]:
    step, given = step_name(execution), parameters(execution)
    section = _SECTIONS.get(step)
    if section is None:
        return _flatten({k: v for k, v in given.items() if k not in _BOOKKEEPING and v not in (None, "", [])}, step)
    values = _custom(given) or given
    sections = {section: values.get("settings"), "tuner": values.get("tuner")}
    flat = _gate(given["eval_config"]) if isinstance(given.get("eval_config"), dict) else {}
    for name, nested in sections.items():
        if isinstance(nested, dict):
            flat |= _flatten(nested, name)
    if "fail_unblessed" in given:
        flat["gate.fail_run"] = bool(given["fail_unblessed"])
    # A parameter with the name of a setting overrides it.
    overrides = {f"{section}.{name}": value for name, value in given.items()}
    return flat | {key: value for key, value in overrides.items() if key in flat or key == "gate.max_users"}


def code(executions: Iterable[Execution]) -> dict[str, str]:
    """Returns the fingerprint of the code of each step that has one."""
    given = {step_name(execution): parameters(execution) for execution in executions}
    fingerprints = {step: values.get("code") or _custom(values).get("code") for step, values in given.items()}
    return {step: str(fingerprint) for step, fingerprint in fingerprints.items() if fingerprint}


def metrics(evaluation: Artifact) -> dict[str, float]:
    """Returns the metrics among the properties of a ModelEvaluation artifact."""
    # Kubeflow keeps all numbers as floats, including TFX's mark of external artifacts.
    return {k: v for k, v in evaluation.properties.items() if isinstance(v, float) and k != "is_external"}


def push(graph: Graph, artifact: Artifact) -> Push | None:
    """Returns the push of a PushedModel artifact; None if nothing was pushed."""
    properties = artifact.properties
    if not properties.get("pushed"):
        return None
    maker = graph.maker(artifact.id)
    given = parameters(graph.executions[maker]) if maker in graph.executions else {}
    return Push(
        id=artifact.id,
        destination=str(properties.get("pushed_destination", "")),
        version=str(properties.get("pushed_version", "")),
        sha256=str(properties.get("sha256", "")),
        pipeline=str(given.get("pipeline_name", "")),
        code_version=str(given.get("code_version", "")),
        when=artifact.created,
    )


def pushed_model(graph: Graph, pushed: int) -> int | None:
    """Returns the id of the Model artifact that a PushedModel artifact was made from."""
    maker = graph.maker(pushed)
    model = None if maker is None else graph.input_of(maker, MODEL)
    return model.id if model else None


def data_of(executions: Iterable[Execution], artifacts: Iterable[Artifact]) -> dict[str, Any]:
    """Returns the facts about data in ExampleGen's executions and artifacts, as `Story.data` has them."""
    data: dict[str, Any] = {}
    for artifact in artifacts:
        properties = artifact.properties
        keys = ("name", "fingerprint", "fingerprint_of")
        data |= {key: properties[f"data_{key}"] for key in keys if properties.get(f"data_{key}")}
        if artifact.type == CATALOG:
            data |= {key: int(properties[key]) for key in COUNTS if key in properties}
    for execution in executions:
        given = parameters(execution)
        if "data_fingerprint" in given:
            data["path"] = given.get("data")
            data.setdefault("fingerprint", given["data_fingerprint"])
    order = ("name", "fingerprint", "fingerprint_of", *COUNTS, "path")
    return {key: data[key] for key in order if data.get(key) not in (None, "")}


def story(graph: Graph, model: int, pushed: int | None = None) -> Story:
    """Returns the story of a model.

    Args:
        graph: has the model's ancestors, and the descendants that the story includes.
        model: id of the Model artifact.
        pushed: id of a PushedModel artifact. The story then has only this push, and the evaluation that it relied on.
    """
    makers = _upstream(graph, model)
    artifacts = [graph.artifacts[link.artifact] for step in makers for link in graph.outputs(step.id)]
    takers = sorted({link.execution for link in graph.after(f"a{model}") if link.name == "model"})
    evaluators = [taker for taker in takers if graph.output_of(taker, EVALUATION)]
    pushers = [taker for taker in takers if graph.output_of(taker, PUSHED_MODEL)]
    if pushed is not None:
        pushers = [pusher for pusher in pushers if pusher == graph.maker(pushed)]
        relied_on = [graph.input_of(pusher, EVALUATION) for pusher in pushers]
        evaluators = [e for e in evaluators if any(a and graph.maker(a.id) == e for a in relied_on)]
    refitted = next((i.artifact for p in pushers[-1:] for i in graph.inputs(p) if i.name == REFITTED), None)
    refitter = None if refitted is None else graph.maker(refitted)
    later = [*evaluators[-1:], refitter, *pushers[-1:]]
    steps = [*makers, *(graph.executions[step] for step in later if step in graph.executions)]
    pushes = [push(graph, output) for pusher in pushers if (output := graph.output_of(pusher, PUSHED_MODEL))]
    return Story(
        model_id=model,
        model_uri=graph.artifacts[model].uri,
        data=data_of(makers, artifacts),
        code=code(steps),
        settings=settings(steps),
        tuned=next((artifact.uri for artifact in artifacts if artifact.type == HYPERPARAMETERS), ""),
        evaluations=[evaluation(graph, evaluator, model) for evaluator in evaluators],
        pushes=[made for made in pushes if made],
        refitted_id=refitted,
    )


def evaluation(graph: Graph, evaluator: int, model: int) -> Evaluation:
    """Returns the evaluation of a model by an execution of the Evaluator."""
    outputs = {artifact.type: artifact for artifact in (graph.artifacts[o.artifact] for o in graph.outputs(evaluator))}
    inputs = graph.inputs(evaluator)
    blessing = outputs.get(BLESSING)
    is_blessing = blessing is not None and blessing.properties.get("blessed") == 1
    return Evaluation(
        id=outputs[EVALUATION].id,
        uri=outputs[EVALUATION].uri,
        blessing_id=blessing.id if blessing else None,
        blessed=is_blessing and any(link.name == "model" and link.artifact == model for link in inputs),
        baseline_id=next((link.artifact for link in inputs if link.is_compared), None),
        metrics=metrics(outputs[EVALUATION]),
    )


def _upstream(graph: Graph, artifact: int) -> list[Execution]:
    """Returns the executions that an artifact depends on, oldest first."""
    upstream: set[int] = set()
    artifacts = [artifact]
    while artifacts:
        maker = graph.maker(artifacts.pop())
        if maker is not None and maker not in upstream and maker in graph.executions:
            upstream.add(maker)
            artifacts += [link.artifact for link in graph.inputs(maker) if not link.is_compared]
    return [graph.executions[execution] for execution in sorted(upstream)]


def _gate(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the gate's limits, which `components/evaluator/eval_config.py` writes into TFMA's configuration."""
    limits = {}
    for spec in config.get("metrics_specs", []):
        for metric, slices in spec.get("per_slice_thresholds", {}).items():
            for slice_limits in slices.get("thresholds", []):
                threshold = slice_limits.get("threshold", {})
                bound = threshold.get("value_threshold", {}).get("lower_bound")
                change = threshold.get("change_threshold", {}).get("relative")
                if bound is not None and (metric, "value") in _GATE:
                    limits[_GATE[metric, "value"]] = bound
                if change is not None and (metric, "change") in _GATE:
                    limits[_GATE[metric, "change"]] = -change
    return limits


def _custom(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the `custom_config` of a step's parameters; empty if there is none."""
    custom = given.get("custom_config")
    return custom if isinstance(custom, dict) else {}


def _parse(value: Any) -> Any:
    """Parses JSON text; returns other values as they are."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _flatten(value: Any, name: str) -> dict[str, Any]:
    """Returns nested settings by dotted key. Lists stay lists."""
    if not isinstance(value, dict):
        return {name: value}
    return {k: v for key, nested in value.items() for k, v in _flatten(nested, f"{name}.{key}").items()}
