"""The runs of the pipelines of a store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from lineage import facts
from lineage.errors import UnknownError
from lineage.graph import Execution, Graph, Link, of_executions, read_execution
from lineage.store import Store, pb

# As TFX calls them, and as Kubeflow Pipelines does.
RUN_TYPES = ("pipeline_run", "system.PipelineRun")
PIPELINE_TYPES = ("pipeline", "system.Pipeline")
# Kubeflow's record of an entire run, which stays RUNNING for ever.
_NO_STEPS = ("DAGExecution",)
ON_KUBEFLOW = "system.PipelineRun"
# How long Kubeflow's driver may take until it records the first step.
DRIVER_MILLISECONDS = 10 * 60 * 1000
_BAD_STATES = {"FAILED": "failed", "CANCELED": "canceled"}
RUNNING, COMPLETE = "running", "complete"


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: of the step.
        execution: its id.
        state: as the store has it, such as `COMPLETE` or `CACHED`.
        seconds: how long it took; None where it has not ended.
    """

    name: str
    execution: int
    state: str
    seconds: float | None


@dataclass(frozen=True)
class Run:
    """A run of a pipeline.

    Attributes:
        id: of its context in the store.
        name: of that context.
        pipeline: name of the pipeline.
        started: milliseconds since the epoch.
        seconds: from the start of the first step to the end of the last.
        state: `running`, `complete`, `failed` or `canceled`. A run that was killed stays `running`: nothing records
            its end. On Kubeflow, where nothing records the end of a run, it is complete when its Pusher has ended, and
            failed when ten minutes after its start no step is recorded.
        outcome: what came of it, in words.
        steps: in the order in which they started.
        data: see `facts.Story`.
        code_version: of the checkout that ran it, where a Pusher recorded it.
        code: fingerprint of the code of each step.
        settings: by key of the configuration.
        evaluation: of the run's model, where there is one.
        push: what the run pushed, or found pushed already.
        graph: of its executions.
    """

    id: int
    name: str
    pipeline: str
    started: int
    seconds: float
    state: str
    outcome: str
    steps: list[Step]
    data: dict[str, Any]
    code_version: str
    code: dict[str, str]
    settings: dict[str, Any]
    evaluation: facts.Evaluation | None
    push: facts.Push | None
    graph: Graph

    @property
    def recall(self) -> float | None:
        """The headline metric, Recall@10 of the run's evaluation."""
        return self.evaluation.metrics.get(facts.HEADLINE) if self.evaluation else None


def list_runs(store: Store, limit: int | None = None, pipeline: str | None = None) -> list[Run]:
    """The newest runs, newest first.

    Args:
        store: to read.
        limit: how many; None for all.
        pipeline: of this pipeline alone.

    Raises:
        UnknownError: there is no such pipeline.
    """
    known = [context.name for kind in PIPELINE_TYPES for context in store.contexts_of_type(kind)]
    if pipeline is not None and pipeline not in known:
        raise UnknownError(f"{store.where}: no pipeline {pipeline!r}; there are {', '.join(sorted(known)) or 'none'}")
    found: list[tuple[pb.Context, str, list[Execution]]] = []
    for context in reversed(_contexts(store)):
        if limit is not None and len(found) == limit:
            break
        executions = _executions(store, context)
        name = _pipeline_of(store, executions)
        if pipeline in (None, name):
            found.append((context, name, executions))
    return _read(store, found)


def find_run(store: Store, wanted: str) -> Run:
    """A run by its id or its name.

    Raises:
        UnknownError: there is none.
    """
    for context in _contexts(store):
        if wanted in (str(context.id), context.name):
            executions = _executions(store, context)
            return _read(store, [(context, _pipeline_of(store, executions), executions)])[0]
    raise UnknownError(f"{store.where}: no run {wanted!r}; `python -m lineage runs` lists them")


def runs_of(store: Store, executions: list[int]) -> list[pb.Context]:
    """The contexts of the runs that executions belong to; one call each, so for a few alone."""
    found = {c.id: c for execution in executions for c in store.contexts_of_execution(execution) if c.type in RUN_TYPES}
    return sorted(found.values(), key=lambda context: context.id)


def _contexts(store: Store) -> list[pb.Context]:
    """The contexts of all runs, oldest first."""
    found = [context for kind in RUN_TYPES for context in store.contexts_of_type(kind)]
    return sorted(found, key=lambda context: (context.create_time_since_epoch, context.id))


def _executions(store: Store, context: pb.Context) -> list[Execution]:
    found = map(read_execution, store.executions_in(context.id))
    return sorted(
        (e for e in found if e.type not in _NO_STEPS), key=lambda execution: (execution.started, execution.id)
    )


def _pipeline_of(store: Store, executions: list[Execution]) -> str:
    if not executions:
        return ""
    contexts = store.contexts_of_execution(executions[0].id)
    return next((context.name for context in contexts if context.type in PIPELINE_TYPES), "")


def _read(store: Store, found: list[tuple[pb.Context, str, list[Execution]]]) -> list[Run]:
    # All events and artifacts at once, then each run's share of them.
    whole = of_executions(store, {e.id: e for _, _, executions in found for e in executions}.values())
    shares: dict[int, list[Link]] = {}
    for link in whole.links:
        shares.setdefault(link.execution, []).append(link)
    return [_run(context, name, executions, _share(whole, executions, shares)) for context, name, executions in found]


def _share(whole: Graph, executions: list[Execution], shares: dict[int, list[Link]]) -> Graph:
    links = frozenset(link for execution in executions for link in shares.get(execution.id, []))
    artifacts = {link.artifact: whole.artifacts[link.artifact] for link in links if link.artifact in whole.artifacts}
    return Graph(artifacts, {execution.id: execution for execution in executions}, links)


def _run(context: pb.Context, pipeline: str, executions: list[Execution], graph: Graph) -> Run:
    evaluation, pushed = _evaluation(graph), _push(graph)
    names = {facts.step_name(execution): execution for execution in executions}
    pusher = names.get(facts.PUSHER)
    state = _state(context, names)
    start = executions[0].started if executions else context.create_time_since_epoch
    return Run(
        id=context.id,
        name=context.name,
        pipeline=pipeline,
        started=start,
        seconds=max((execution.changed - start for execution in executions), default=0) / 1000,
        state=state,
        outcome=_outcome(state, executions, evaluation, pushed),
        steps=[
            Step(facts.step_name(e), e.id, e.state, None if e.state == "RUNNING" else (e.changed - e.started) / 1000)
            for e in executions
        ],
        data=facts.data_of(executions, graph.of_type(facts.EXAMPLES, facts.CATALOG)),
        code_version=str(facts.parameters(pusher).get("code_version", "")) if pusher else "",
        code={name: facts.code(execution) for name, execution in names.items() if facts.code(execution)},
        settings={key: value for execution in executions for key, value in facts.settings(execution).items()},
        evaluation=evaluation,
        push=pushed,
        graph=graph,
    )


def _state(context: pb.Context, steps: dict[str, Execution]) -> str:
    states = {execution.state for execution in steps.values()}
    for bad, word in _BAD_STATES.items():
        if bad in states:
            return word
    if context.type == ON_KUBEFLOW:
        if not states and time.time() * 1000 > context.create_time_since_epoch + DRIVER_MILLISECONDS:
            return "failed"
        if facts.is_ours(steps) and facts.PUSHER not in steps:
            return RUNNING  # Between two steps.
    return RUNNING if states & {"RUNNING", "NEW"} or not states else COMPLETE


def _outcome(
    state: str, executions: list[Execution], evaluation: facts.Evaluation | None, pushed: facts.Push | None
) -> str:
    bad = [facts.step_name(e) for e in executions if e.state in (*_BAD_STATES, "RUNNING", "NEW")]
    if state != COMPLETE:
        if bad:
            return f"at {bad[0]}"
        return f"after {facts.step_name(executions[-1])}" if executions else "before the first step"
    if pushed:
        cached = any(facts.step_name(e) == facts.PUSHER and e.state == "CACHED" for e in executions)
        return f"{'unchanged,' if cached else 'pushed'} version {pushed.version}"
    if evaluation and evaluation.blessing_id and not evaluation.blessed:
        return "not blessed"
    return f"ended with {facts.step_name(executions[-1])}"


def _evaluation(graph: Graph) -> facts.Evaluation | None:
    for artifact in graph.of_type(facts.EVALUATION):
        maker = graph.maker(artifact.id)
        models = [link.artifact for link in graph.inputs(maker) if link.name == "model"] if maker is not None else []
        if maker is not None and models:
            return facts.evaluation(graph, maker, models[0])
    return None


def _push(graph: Graph) -> facts.Push | None:
    found = [facts.push(graph, artifact) for artifact in graph.of_type(facts.PUSHED_MODEL)]
    return next((push for push in found if push), None)
