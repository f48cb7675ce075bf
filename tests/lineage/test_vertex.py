"""Tests reading Vertex ML Metadata from a fake that has the recorded store of a real Kubeflow Pipelines."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from google.api_core.exceptions import PermissionDenied
from google.cloud import aiplatform_v1
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.errors import StoreError
from lineage.find import find
from lineage.runs import PIPELINE_TYPES, RUN_TYPES, list_runs
from lineage.store import Store, open_store
from tests.lineage.test_recorded_kubeflow import database, store  # noqa: F401 - fixtures

STORE = "projects/shop/locations/europe-west4/metadataStores/default"
WHERE = "vertex://shop/europe-west4"


def time(milliseconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)


def common(record: Any, kind: str, name: str) -> dict[str, Any]:
    """Returns the fields that artifacts, executions and contexts have."""
    return {
        "name": f"{STORE}/{kind}/{name}",
        "schema_title": record.type,
        "create_time": time(record.create_time_since_epoch),
        "update_time": time(record.last_update_time_since_epoch),
    }


class Service:
    """A fake of the metadata service with the recorded store."""

    def __init__(self, recorded: Store):
        self._recorded = recorded

    def list_contexts(self, request: dict[str, str]) -> list[types.Context]:
        assert request["parent"] == STORE
        contexts = []
        for kind in (RUN_TYPES[1], PIPELINE_TYPES[1]):
            if request["filter"] == f'schema_title="{kind}"':
                contexts = self._recorded.contexts_of_types([kind])
        return [self._context(context) for context in contexts]

    def query_context_lineage_subgraph(self, context: str) -> types.LineageSubgraph:
        run = next(c for c in self._recorded.contexts_of_types(RUN_TYPES) if c.name == context.rpartition("/")[2])
        executions = self._recorded.executions_in(run.id)
        events = self._recorded.events_of_executions(e.id for e in executions)
        artifacts = self._recorded.artifacts({event.artifact_id for event in events})
        return types.LineageSubgraph(
            artifacts=[self._artifact(artifact) for artifact in artifacts],
            executions=[self._execution(execution) for execution in executions],
            events=[
                types.Event(
                    artifact=f"{STORE}/artifacts/{event.artifact_id}",
                    execution=f"{STORE}/executions/{event.execution_id}",
                    type_="OUTPUT" if event.type == pb.Event.OUTPUT else "INPUT",
                )
                for event in events
            ],
        )

    def _context(self, context: pb.Context) -> types.Context:
        owners = [
            f"{STORE}/contexts/{owner.name}"
            for execution in self._recorded.executions_in(context.id)[:1]
            for owner in self._recorded.contexts_of_execution(execution.id)
            if owner.type == PIPELINE_TYPES[1] and context.type == RUN_TYPES[1]
        ]
        fields = common(context, "contexts", context.name)
        return types.Context(display_name=context.name, parent_contexts=owners, **fields)

    def _artifact(self, artifact: pb.Artifact) -> types.Artifact:
        metadata = {
            name: getattr(value, value.WhichOneof("value")) for name, value in artifact.custom_properties.items()
        }
        name = metadata.get("display_name", "")
        fields = common(artifact, "artifacts", str(artifact.id))
        return types.Artifact(display_name=name, uri=artifact.uri, metadata=metadata, **fields)

    def _execution(self, execution: pb.Execution) -> types.Execution:
        properties = execution.custom_properties
        inputs = json_format.MessageToDict(properties["inputs"].struct_value)
        return types.Execution(
            display_name=properties["task_name"].string_value or "dag",
            state=pb.Execution.State.Name(execution.last_known_state),
            metadata={f"input:{name}": value for name, value in inputs.items()},
            **common(execution, "executions", str(execution.id)),
        )


@pytest.fixture
def vertex(store, monkeypatch) -> None:  # noqa: F811
    def client(client_options: dict[str, str]) -> Service:
        assert client_options == {"api_endpoint": "europe-west4-aiplatform.googleapis.com"}
        return Service(store)

    monkeypatch.setattr(aiplatform_v1, "MetadataServiceClient", client)


def test_runs_are_the_same_as_in_the_recorded_store(store, vertex):  # noqa: F811
    expected = {run.name: run for run in list_runs(store)}
    runs = {run.name: run for run in list_runs(open_store(WHERE))}
    assert set(runs) == set(expected)
    for name, run in expected.items():
        copy = runs[name]
        assert (copy.state, copy.outcome, copy.recall) == (run.state, run.outcome, run.recall)
        assert (copy.pipeline, copy.started, copy.settings) == (run.pipeline, run.started, run.settings)
        assert [(step.name, step.state) for step in copy.steps] == [(step.name, step.state) for step in run.steps]


def test_graph_of_a_pushed_model_includes_its_data(vertex):
    match = find(open_store(WHERE), "minio://mlpipeline/models/sample/2")
    assert match.model is not None
    assert {"ItemCatalog", "Examples", "TransformGraph", "Model"} <= {a.type for a in match.graph.artifacts.values()}


def test_error_of_the_service_is_one_line(monkeypatch):
    def refuse(**unused: Any) -> Any:
        raise PermissionDenied("Permission 'aiplatform.contexts.list' denied\nmore")

    monkeypatch.setattr(aiplatform_v1, "MetadataServiceClient", lambda **_: SimpleNamespace(list_contexts=refuse))
    with pytest.raises(StoreError, match=r"^vertex://shop/europe-west4: 403 Permission '[a-z.]*' denied$"):
        open_store(WHERE)
