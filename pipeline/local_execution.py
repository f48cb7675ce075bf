"""Runs a pipeline on this machine, step by step, and tells an observer how it goes."""

from __future__ import annotations

import gc
import json
import logging
import re
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from ml_metadata.proto.metadata_store_pb2 import Artifact
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2

from components import checksums
from components.errors import describe

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class StepResult:
    """How a step ended.

    Attributes:
        name: of the step.
        cached: whether an earlier run's results were taken.
        seconds: wall time.
        outputs: artifacts by output name.
    """

    name: str
    cached: bool
    seconds: float
    outputs: dict[str, list[Artifact]] = field(default_factory=dict)


class StepFailed(Exception):
    """A step raised an error.

    Attributes:
        step: its name.
        message: what went wrong, one line.
        results: of the steps before it.
        is_usage: whether the configuration does not suit the data, so that no step can mend it.
    """

    def __init__(self, step: str, message: str, results: Sequence[StepResult] = (), *, is_usage: bool = False):
        super().__init__(f"{step}: {message}")
        self.is_usage = is_usage
        self.step = step
        self.message = message
        self.results = list(results)


class Interrupted(KeyboardInterrupt):
    """A person stopped the run.

    Attributes:
        step: in which.
        results: of the steps before it.
    """

    def __init__(self, step: str, results: Sequence[StepResult]):
        super().__init__(step)
        self.step = step
        self.results = list(results)


class Observer(Protocol):
    """Is told how a run goes."""

    def started(self, step: str) -> None:
        """A step starts."""

    def finished(self, result: StepResult) -> None:
        """A step ended well."""

    def failed(self, step: str, seconds: float) -> None:
        """A step raised an error."""

    def interrupted(self, step: str, seconds: float) -> None:
        """A person stopped a step."""


def run(
    pipeline: tfx.dsl.Pipeline,
    observer: Observer,
    *,
    from_nodes: Collection[str] = (),
    to_nodes: Collection[str] = (),
    is_stale: Callable[[StepResult], bool] = lambda result: False,
    complaint: Callable[[StepResult], str] = lambda result: "",
) -> list[StepResult]:
    """Run the steps of a pipeline one after another.

    TFX's `LocalDagRunner` does the same in silence; this says what it does and takes a result from the cache only if
    it still holds and its files are those that the step wrote.

    Args:
        pipeline: with a metadata connection.
        observer: told of every step.
        from_nodes: steps to start at; the results of earlier ones are taken from the last run. Empty: the first.
        to_nodes: steps to end with. Empty: the last.
        is_stale: whether a cached result no longer holds, so that its step is run again.
        complaint: why the steps after a result cannot work, one line; empty where nothing speaks against them.

    Returns:
        Of the steps that ran and, behind `from_nodes`, of earlier ones, whose results were taken from the last run.

    Raises:
        StepFailed: a step raised an error, or there is a complaint about its result; later ones are not run.
        Interrupted: by Ctrl-C.
    """
    gc.freeze()  # The libraries' objects are there to stay; looking at them in every collection takes a second a step.
    uncached: set[str] = set()
    begun: set[str] = set()
    ended: set[str] = set()
    while True:
        try:
            return _run(pipeline, observer, from_nodes, to_nodes, is_stale, complaint, uncached, begun, ended)
        except _Stale as stale:
            # Within a run ML Metadata holds a step that came from the cache for done, so that another run begins; what
            # was good in this one comes from the cache there.
            uncached.add(stale.step)


class _Stale(Exception):
    """A step took from the cache what no longer holds."""

    def __init__(self, step: str):
        super().__init__(step)
        self.step = step


def _run(
    pipeline: tfx.dsl.Pipeline,
    observer: Observer,
    from_nodes: Collection[str],
    to_nodes: Collection[str],
    is_stale: Callable[[StepResult], bool],
    complaint: Callable[[StepResult], str],
    uncached: set[str],
    begun: set[str],
    ended: set[str],
) -> list[StepResult]:
    """One run; steps in `uncached` take nothing from the cache, those in `begun` and `ended` are not told again.

    Raises:
        StepFailed: see `run`.
        _Stale: a cached result does not hold.
    """
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now().isoformat()}
    )
    if from_nodes or to_nodes:
        partial_run_utils.mark_pipeline(ir, from_nodes=from_nodes or None, to_nodes=to_nodes or None)
    deployment = runner_utils.extract_local_deployment_config(ir)
    connection = pipeline.metadata_connection_config
    results: list[StepResult] = []
    for node in ir.nodes:
        step = node.pipeline_node
        name = step.node_info.id
        if step.execution_options.HasField("skip"):
            continue
        if step.execution_options.run.perform_snapshot:
            with metadata.Metadata(connection) as handle:
                try:
                    partial_run_utils.snapshot(handle, ir)
                except LookupError as error:
                    found = re.search(r"node_id (\w+)", str(error))
                    raise StepFailed(
                        name,
                        f"the last run left nothing of {found[1] if found else 'earlier steps'} to start from; "
                        "start earlier, or without --from-node",
                        results,
                    ) from error
            results += _reused(ir, name, connection)
        if name in uncached:
            step.execution_options.caching_options.enable_cache = False
        started = time.monotonic()
        try:
            if name not in begun:
                begun.add(name)
                observer.started(name)
            result = _launch(ir, step, deployment, connection, started)
            stale = result.cached and (_is_damaged(result) or is_stale(result))
            for uri in _uris(result):
                checksums.record(uri)
            if not stale and name not in ended:
                ended.add(name)
                observer.finished(result)
        except KeyboardInterrupt:
            observer.interrupted(name, time.monotonic() - started)
            raise Interrupted(name, results) from None
        except Exception as error:
            traceback.print_exc()  # Into the log, where there is one.
            observer.failed(name, time.monotonic() - started)
            raise StepFailed(name, describe(error), results) from error
        if stale:
            raise _Stale(name)
        results.append(result)
        if message := complaint(result):
            raise StepFailed(name, message, results, is_usage=True)
    return results


def _launch(
    ir: pipeline_pb2.Pipeline,
    step: pipeline_pb2.PipelineNode,
    deployment: object,
    connection: metadata_store_pb2.ConnectionConfig,
    started: float,
) -> StepResult:
    name = step.node_info.id
    info = launcher.Launcher(
        pipeline_node=step,
        mlmd_connection=metadata.Metadata(connection),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, name),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, name),
    ).launch()
    cached, outputs = False, {}
    if info is not None:
        store = mlmd.MetadataStore(connection)
        (execution,) = store.get_executions_by_id([info.execution_id])
        if execution.last_known_state == metadata_store_pb2.Execution.FAILED:
            # A resolver that fails does not raise, it only says so in the store.
            raise RuntimeError(f"its inputs could not be resolved; the log says why\n{_failure(execution)}")
        cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        outputs = _outputs(store, info.execution_id)
    return StepResult(name, cached, time.monotonic() - started, outputs)


def _failure(execution: metadata_store_pb2.Execution) -> str:
    """The traceback that TFX left of an execution that failed; empty where there is none."""
    told = execution.custom_properties["__execution_result__"].string_value
    try:
        return str(json.loads(told).get("resultMessage", "")) if told else ""
    except ValueError:
        return ""


def _reused(ir: pipeline_pb2.Pipeline, first: str, connection: metadata_store_pb2.ConnectionConfig) -> list[StepResult]:
    """What a run that starts at `first` takes from the last one: the snapshot recorded it as this run's executions."""
    store = mlmd.MetadataStore(connection)
    found = []
    for node in ir.nodes:
        step = node.pipeline_node
        if step.node_info.id == first:
            break
        if step.execution_options.HasField("skip"):
            with metadata.Metadata(connection) as handle:
                contexts = context_lib.prepare_contexts(handle, step.contexts)
                executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
            for execution in executions[-1:]:
                found.append(StepResult(step.node_info.id, True, 0.0, _outputs(store, execution.id)))
    return found


def _uris(result: StepResult) -> list[str]:
    """Returns where the outputs of a step lie."""
    return [artifact.uri for artifacts in result.outputs.values() for artifact in artifacts]


def _is_damaged(result: StepResult) -> bool:
    """Whether a file of a cached result is not the one that its step wrote, which is told."""
    for wrong in filter(None, map(checksums.damage, _uris(result))):
        progress.info("%s: the step is run again", wrong)
        return True
    return False


def _outputs(store: mlmd.MetadataStore, execution_id: int) -> dict[str, list[Artifact]]:
    """The artifacts that an execution made, or took from the cache, by output name."""
    names = {
        event.artifact_id: event.path.steps[0].key
        for event in store.get_events_by_execution_ids([execution_id])
        if event.type in (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
    }
    outputs: dict[str, list[Artifact]] = {}
    for artifact in store.get_artifacts_by_id(list(names)):
        outputs.setdefault(names[artifact.id], []).append(artifact)
    return outputs
