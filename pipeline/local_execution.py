"""Runs a pipeline on this machine, step by step, and tells an observer how it goes."""

from __future__ import annotations

import gc
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
from tfx.proto.orchestration import pipeline_pb2


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
    """

    def __init__(self, step: str, message: str, results: Sequence[StepResult] = ()):
        super().__init__(f"{step}: {message}")
        self.step = step
        self.message = message
        self.results = list(results)


class Observer(Protocol):
    """Is told how a run goes."""

    def started(self, step: str) -> None:
        """A step starts."""

    def finished(self, result: StepResult) -> None:
        """A step ended well."""

    def failed(self, step: str, seconds: float) -> None:
        """A step raised an error."""


def run(
    pipeline: tfx.dsl.Pipeline,
    observer: Observer,
    *,
    from_nodes: Collection[str] = (),
    to_nodes: Collection[str] = (),
    is_stale: Callable[[StepResult], bool] = lambda result: False,
) -> list[StepResult]:
    """Run the steps of a pipeline one after another.

    TFX's `LocalDagRunner` does the same in silence; this says what it does and takes a result from the cache only if
    it still holds.

    Args:
        pipeline: with a metadata connection.
        observer: told of every step.
        from_nodes: steps to start at; the results of earlier ones are taken from the last run. Empty: the first.
        to_nodes: steps to end with. Empty: the last.
        is_stale: whether a cached result no longer holds, so that its step is run again.

    Raises:
        StepFailed: a step raised an error; later ones are not run.
    """
    gc.freeze()  # The libraries' objects are there to stay; looking at them in every collection takes a second a step.
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
        observer.started(name)
        started = time.monotonic()
        try:
            result = _launch(ir, step, deployment, connection, started)
            if result.cached and is_stale(result):
                step.execution_options.caching_options.enable_cache = False
                result = _launch(ir, step, deployment, connection, started)
        except Exception as error:
            traceback.print_exc()  # Into the log, where there is one.
            observer.failed(name, time.monotonic() - started)
            raise StepFailed(name, describe(error), results) from error
        observer.finished(result)
        results.append(result)
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
            raise RuntimeError("its inputs could not be resolved; the log says why")
        cached = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        outputs = _outputs(store, info.execution_id)
    return StepResult(name, cached, time.monotonic() - started, outputs)


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


# Beam hands on errors of its workers as text: a traceback with the error on the last line, and where it ran.
_RAISED = re.compile(
    r"(?:^|\n)(?:[\w.]+\.)?(?:DataError|StepError|TrainerError|PushError): (.+?)(?: \[while running|\n|$)"
)


def describe(error: BaseException) -> str:
    """What an error says, one line."""
    chain: BaseException | None = error
    while chain is not None:
        found = _RAISED.findall("\n".join([f"{type(chain).__name__}: {chain}"]))
        if found:
            return found[-1].strip()
        chain = chain.__cause__ or chain.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"
