"""Runs a pipeline on this machine, step by step, and reports its progress."""

from __future__ import annotations

import gc
import logging
import re
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from ml_metadata.proto.metadata_store_pb2 import Artifact
from tfx import v1 as tfx
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, partial_run_utils, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import context_lib, event_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2

from components import checksums
from components.errors import describe
from pipeline.console import ConsoleObserver

OUTPUT_EVENTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)

progress = logging.getLogger("recommender.progress")


@dataclass(frozen=True)
class StepResult:
    """The result of a step.

    Attributes:
        name: name of the step.
        cached: whether the result comes from an earlier run.
        seconds: wall time.
        outputs: artifacts by output name.
    """

    name: str
    cached: bool
    seconds: float
    outputs: dict[str, list[Artifact]] = field(default_factory=dict)

    @property
    def uris(self) -> list[str]:
        """Returns the URIs of the output artifacts."""
        return [artifact.uri for artifacts in self.outputs.values() for artifact in artifacts]


class StepFailed(Exception):
    """A step raised an error.

    Attributes:
        step: name of the step.
        message: the error, in one line.
        results: results of the steps before it.
        is_usage: whether the user must change the configuration, because it does not suit the data.
    """

    def __init__(self, step: str, message: str, results: Sequence[StepResult] = (), *, is_usage: bool = False):
        super().__init__(f"{step}: {message}")
        self.is_usage = is_usage
        self.step = step
        self.message = message
        self.results = list(results)


class Interrupted(KeyboardInterrupt):
    """The user stopped the run.

    Attributes:
        step: name of the interrupted step.
        results: results of the steps before it.
    """

    def __init__(self, step: str, results: Sequence[StepResult]):
        super().__init__(step)
        self.step = step
        self.results = list(results)


def run(
    pipeline: tfx.dsl.Pipeline,
    observer: ConsoleObserver,
    *,
    from_nodes: Collection[str] = (),
    to_nodes: Collection[str] = (),
    is_stale: Callable[[StepResult], bool] = lambda result: False,
    find_problem: Callable[[StepResult], str] = lambda result: "",
) -> list[StepResult]:
    """Runs the steps of a pipeline one after another.

    Unlike TFX's `LocalDagRunner`, this reports progress, and reuses a cached result only if it is still valid and its
    files are unchanged.

    Args:
        pipeline: the pipeline, with a metadata connection.
        observer: receives the progress.
        from_nodes: steps to start at; steps before them keep the results of the last run. Empty: the first step.
        to_nodes: steps to end with. Empty: the last step.
        is_stale: returns whether a cached result is no longer valid, so that the step runs again.
        find_problem: returns the reason why later steps cannot use a result, in one line; empty if they can.

    Returns:
        Results of the steps that ran and, with `from_nodes`, of the earlier steps.

    Raises:
        StepFailed: a step raised an error, or its result has a problem; later steps do not run.
        Interrupted: the user pressed Ctrl-C.
    """
    gc.freeze()  # Checking the libraries' objects in every garbage collection takes a second per step.
    runner = _Runner(pipeline, observer, from_nodes, to_nodes, is_stale, find_problem)
    results = None
    while results is None:
        # ML Metadata considers a cached step of a run done. Therefore, after a stale result, a new run starts, which
        # reuses the valid results of this one.
        results = runner.run()
    return results


@dataclass
class _Runner:
    """Runs a pipeline, possibly several times.

    Attributes:
        uncached: steps that must not use the cache.
        started: steps whose start was reported.
        finished: steps whose end was reported.
    """

    pipeline: tfx.dsl.Pipeline
    observer: ConsoleObserver
    from_nodes: Collection[str]
    to_nodes: Collection[str]
    is_stale: Callable[[StepResult], bool]
    find_problem: Callable[[StepResult], str]
    uncached: set[str] = field(default_factory=set)
    started: set[str] = field(default_factory=set)
    finished: set[str] = field(default_factory=set)

    def run(self) -> list[StepResult] | None:
        """Runs all steps once; returns None if a cached result was no longer valid, for another attempt without it.

        Raises:
            StepFailed: see `run`.
            Interrupted: see `run`.
        """
        ir = compiler.Compiler().compile(self.pipeline)
        runtime_parameter_utils.substitute_runtime_parameter(
            ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: datetime.now().isoformat()}
        )
        if self.from_nodes or self.to_nodes:
            partial_run_utils.mark_pipeline(ir, from_nodes=self.from_nodes or None, to_nodes=self.to_nodes or None)
        results: list[StepResult] = []
        for node in ir.nodes:
            step = node.pipeline_node
            name = step.node_info.id
            if step.execution_options.HasField("skip"):
                continue
            if step.execution_options.run.perform_snapshot:
                results += self._earlier_results(ir, name, results)
            if name in self.uncached:
                step.execution_options.caching_options.enable_cache = False
            result = self._run_step(ir, step, results)
            if result is None:
                self.uncached.add(name)
                return None
            results.append(result)
            if problem := self.find_problem(result):
                raise StepFailed(name, problem, results, is_usage=True)
        return results

    def _earlier_results(self, ir: pipeline_pb2.Pipeline, first: str, results: list[StepResult]) -> list[StepResult]:
        """Records the last run's results of the steps before `first` in this run, and returns them."""
        earlier = []
        with metadata.Metadata(self.pipeline.metadata_connection_config) as handle:
            try:
                partial_run_utils.snapshot(handle, ir)
            except LookupError as error:
                match = re.search(r"node_id (\w+)", str(error))
                raise StepFailed(
                    first,
                    f"the last run has no result of {match[1] if match else 'earlier steps'}; start at an earlier "
                    "step, or without --from-node",
                    results,
                ) from error
            for node in ir.nodes:
                step = node.pipeline_node
                if step.node_info.id == first:
                    break
                if step.execution_options.HasField("skip"):
                    contexts = context_lib.prepare_contexts(handle, step.contexts)
                    executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
                    for execution in executions[-1:]:
                        outputs = _outputs(handle.store, execution.id)
                        earlier.append(StepResult(step.node_info.id, True, 0.0, outputs))
        return earlier

    def _run_step(
        self, ir: pipeline_pb2.Pipeline, step: pipeline_pb2.PipelineNode, results: list[StepResult]
    ) -> StepResult | None:
        """Returns the result of a step; None if it comes from the cache and is no longer valid."""
        name = step.node_info.id
        started = time.monotonic()
        try:
            if name not in self.started:
                self.started.add(name)
                self.observer.started(name)
            result = _launch(ir, step, self.pipeline.metadata_connection_config, started)
            stale = result.cached and (_is_damaged(result) or self.is_stale(result))
            for uri in result.uris:
                checksums.record(uri)
            if not stale and name not in self.finished:
                self.finished.add(name)
                self.observer.finished(result)
        except KeyboardInterrupt:
            self.observer.interrupted(name, time.monotonic() - started)
            raise Interrupted(name, results) from None
        except Exception as error:
            traceback.print_exc()  # Into the log, if there is one.
            self.observer.failed(name, time.monotonic() - started)
            raise StepFailed(name, describe(error), results) from error
        return None if stale else result


def _launch(
    ir: pipeline_pb2.Pipeline,
    step: pipeline_pb2.PipelineNode,
    connection: metadata_store_pb2.ConnectionConfig,
    started: float,
) -> StepResult:
    name = step.node_info.id
    deployment = runner_utils.extract_local_deployment_config(ir)
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
            # A resolver that fails does not raise an error; it only records the failure in the store.
            failure = execution_lib.get_execution_result(execution, ignore_parse_errors=True)
            reason = failure.result_message if failure else ""
            raise RuntimeError(f"its inputs could not be resolved; see the log\n{reason}")
        cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        outputs = _outputs(store, info.execution_id)
    return StepResult(name, cached, time.monotonic() - started, outputs)


def _is_damaged(result: StepResult) -> bool:
    """Returns whether a file of a cached result has changed, and reports it."""
    for damage in filter(None, map(checksums.damage, result.uris)):
        progress.info("%s: the step is run again", damage)
        return True
    return False


def _outputs(store: mlmd.MetadataStore, execution_id: int) -> dict[str, list[Artifact]]:
    """Returns the artifacts that an execution created or took from the cache, by output name."""
    events = [e for e in store.get_events_by_execution_ids([execution_id]) if e.type in OUTPUT_EVENTS]
    artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
    return event_lib.reconstruct_artifact_multimap(artifacts, events)
