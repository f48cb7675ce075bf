"""Reads the runs of a store's pipelines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as pb

from lineage import facts
from lineage.errors import UnknownError
from lineage.graph import OPEN_STATES, Graph, graph_of_executions, read_execution
from lineage.store import Store

# Types of contexts, as TFX and as Kubeflow Pipelines name them.
RUN_TYPES = ("pipeline_run", "system.PipelineRun")
PIPELINE_TYPES = ("pipeline", "system.Pipeline")
ON_KUBEFLOW = "system.PipelineRun"
NOT_A_STEP = "DAGExecution"  # Kubeflow's record of an entire run, which stays RUNNING for ever
DRIVER_MILLISECONDS = 10 * 60 * 1000  # limit for Kubeflow's driver to record the first step
_BAD_STATES = {"FAILED": "failed", "CANCELED": "canceled"}
RUNNING, COMPLETE = "running", "complete"


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Attributes:
        name: of the step.
        execution: id of its execution.
        state: in the store, for example `COMPLETE` or `CACHED`.
        seconds: its duration; None if it has not ended.
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
        name: of its context in the store.
        pipeline: name of the pipeline.
        started: milliseconds since the epoch.
        seconds: from the start of the first step to the end of the last.
        state: `running`, `complete`, `failed` or `canceled`. A killed run stays `running`: nothing records its end. On
            Kubeflow nothing records the end of any run: it is complete when its Pusher has ended, and failed if it has
            no step ten minutes after its start.
        outcome: the result, in words.
        steps: in the order in which they started.
        data: see `facts.Story`.
        code_version: of the checkout that ran it, if a Pusher recorded it.
        code: fingerprint of the code of each step.
        settings: by key of the configuration.
        evaluation: of the run's model; None without one.
        push: the run's push, or the earlier push that a cached Pusher kept; None without one.
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
        """Returns the headline metric, Recall@10 of the run's evaluation; None without one."""
        return self.evaluation.metrics.get(facts.HEADLINE) if self.evaluation else None

    @property
    def cached(self) -> list[str]:
        """Returns the names of the cached steps."""
        return [step.name for step in self.steps if step.state == "CACHED"]


def list_runs(store: Store, limit: int | None = None, pipeline: str | None = None) -> list[Run]:
    """Returns the newest runs, newest first.

    Args:
        store: to read.
        limit: maximum number of runs; None for all.
        pipeline: only runs of this pipeline.

    Raises:
        UnknownError: there is no such pipeline.
    """
    pipelines = [context.name for context in store.contexts_of_types(PIPELINE_TYPES)]
    if pipeline is not None and pipeline not in pipelines:
        names = ", ".join(sorted(pipelines)) or "none"
        raise UnknownError(f"{store.where}: no pipeline {pipeline!r}; there are {names}")
    runs = (_run(store, context) for context in reversed(_contexts(store)))
    return list(islice((run for run in runs if pipeline in (None, run.pipeline)), limit))


def find_run(store: Store, query: str) -> Run:
    """Returns a run by its id or its name.

    Raises:
        UnknownError: there is no such run.
    """
    for context in _contexts(store):
        if query in (str(context.id), context.name):
            return _run(store, context)
    raise UnknownError(f"{store.where}: no run {query!r}; `python -m lineage runs` lists them")


def run_of(store: Store, execution: int) -> int | None:
    """Returns the id of an execution's run; None if the store does not have it."""
    return min((c.id for c in store.contexts_of_execution(execution) if c.type in RUN_TYPES), default=None)


def _contexts(store: Store) -> list[pb.Context]:
    """Returns the contexts of all runs, oldest first."""
    return sorted(store.contexts_of_types(RUN_TYPES), key=lambda context: (context.create_time_since_epoch, context.id))


def _run(store: Store, context: pb.Context) -> Run:
    executions = [e for e in map(read_execution, store.executions_in(context.id)) if e.type != NOT_A_STEP]
    executions.sort(key=lambda execution: (execution.started, execution.id))
    owners = store.contexts_of_execution(executions[0].id) if executions else []
    graph = graph_of_executions(store, executions)
    steps = [Step(facts.step_name(e), e.id, e.state, e.seconds) for e in executions]
    started = executions[0].started if executions else context.create_time_since_epoch
    versions = [facts.parameters(e).get("code_version", "") for e in executions if facts.step_name(e) == facts.PUSHER]
    state, evaluation = _state(context, steps), _evaluation(graph)
    pushes = [push for artifact in graph.of_type(facts.PUSHED_MODEL) if (push := facts.push(graph, artifact))]
    push = pushes[0] if pushes else None
    return Run(
        id=context.id,
        name=context.name,
        pipeline=next((owner.name for owner in owners if owner.type in PIPELINE_TYPES), ""),
        started=started,
        seconds=max((execution.changed - started for execution in executions), default=0) / 1000,
        state=state,
        outcome=_outcome(state, steps, evaluation, push),
        steps=steps,
        data=facts.data_of(executions, graph.of_type(facts.EXAMPLES, facts.CATALOG)),
        code_version=str(versions[-1]) if versions else "",
        code=facts.code(executions),
        settings=facts.settings(executions),
        evaluation=evaluation,
        push=push,
        graph=graph,
    )


def _state(context: pb.Context, steps: list[Step]) -> str:
    # The last execution of each step counts.
    states = set({step.name: step.state for step in steps}.values())
    names = {step.name for step in steps}
    for bad, word in _BAD_STATES.items():
        if bad in states:
            return word
    if context.type == ON_KUBEFLOW:
        if not states and time.time() * 1000 > context.create_time_since_epoch + DRIVER_MILLISECONDS:
            return "failed"
        if facts.is_ours(names) and facts.PUSHER not in names:
            return RUNNING  # Between two steps.
    return RUNNING if states & OPEN_STATES or not states else COMPLETE


def _outcome(state: str, steps: list[Step], evaluation: facts.Evaluation | None, push: facts.Push | None) -> str:
    if not steps:
        return "before the first step"
    if state != COMPLETE:
        stopped = [step.name for step in steps if step.state in {*_BAD_STATES, *OPEN_STATES}]
        return f"at {stopped[0]}" if stopped else f"after {steps[-1].name}"
    if push:
        is_cached = any(step.name == facts.PUSHER and step.state == "CACHED" for step in steps)
        return f"{'unchanged,' if is_cached else 'pushed'} version {push.version}"
    if evaluation and evaluation.blessing_id and not evaluation.blessed:
        return "not blessed"
    return f"ended with {steps[-1].name}"


def _evaluation(graph: Graph) -> facts.Evaluation | None:
    for artifact in graph.of_type(facts.EVALUATION):
        maker = graph.maker(artifact.id)
        models = [link.artifact for link in graph.inputs(maker) if link.name == "model"] if maker is not None else []
        if maker is not None and models:
            return facts.evaluation(graph, maker, models[0])
    return None
