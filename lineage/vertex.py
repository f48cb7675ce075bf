"""Copies Vertex ML Metadata into a store of ML Metadata, which the rest of the lineage reads.

Vertex's service has the same records under other names: it calls the type a schema, properties metadata, and records
resource names instead of numbers. The tests use a fake of the service; it was not tested with a real project.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.errors import StoreError

RUN, PIPELINE = "system.PipelineRun", "system.Pipeline"
# How Vertex AI Pipelines names a parameter of a step among the metadata of its execution.
PARAMETER = "input:"


def copy_store(project: str, region: str, database: Path) -> None:
    """Copies every pipeline run of a project, with its steps and artifacts, into a new SQLite file.

    Args:
        project: id of the project.
        region: for example `europe-west4`.
        database: path of the new file.

    Raises:
        StoreError: the service refuses, or there are no credentials.
    """
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform_v1

    endpoint = {"api_endpoint": f"{region}-aiplatform.googleapis.com"}
    store = f"projects/{project}/locations/{region}/metadataStores/default"
    copied = _Copy(database)
    try:
        service = aiplatform_v1.MetadataServiceClient(client_options=endpoint)
        pipelines = {context.name: context for context in _contexts(service, store, PIPELINE)}
        for run in _contexts(service, store, RUN):
            subgraph = service.query_context_lineage_subgraph(context=run.name)
            copied.add([run, *(pipelines[name] for name in run.parent_contexts if name in pipelines)], subgraph)
    except (GoogleAPICallError, GoogleAuthError) as error:
        raise StoreError(f"vertex://{project}/{region}: {next(iter(str(error).splitlines()), 'refused')}") from None
    copied.finish()


def _contexts(service: Any, store: str, schema: str) -> Iterable[Any]:
    return service.list_contexts(request={"parent": store, "filter": f'schema_title="{schema}"'})


class _Copy:
    """Puts records into a store, each once."""

    def __init__(self, database: Path):
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(database)
        config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self._database = database
        self._target = mlmd.MetadataStore(config)
        self._times: dict[str, dict[int, tuple[int, int]]] = {"Artifact": {}, "Execution": {}, "Context": {}}
        self._types: dict[tuple[str, str], int] = {}
        self._numbers: dict[str, int] = {}

    def add(self, contexts: list[Any], subgraph: Any) -> None:
        """Adds a run: its contexts, and its subgraph of steps and artifacts."""
        artifacts = [self._artifact(record) for record in subgraph.artifacts]
        executions = [self._execution(record) for record in subgraph.executions]
        positions = {record.name: i for i, record in enumerate(subgraph.artifacts)}
        steps = {record.name: i for i, record in enumerate(subgraph.executions)}
        names = {record.name: record.display_name for record in subgraph.artifacts}
        edges = []
        for event in subgraph.events:
            kind = pb.Event.OUTPUT if event.type_.name == "OUTPUT" else pb.Event.INPUT
            path = pb.Event.Path(steps=[pb.Event.Path.Step(key=names[event.artifact])])
            edges.append((steps[event.execution], positions[event.artifact], pb.Event(type=kind, path=path)))
        owners = [self._context(record) for record in contexts]
        put = self._target.put_lineage_subgraph(
            executions, artifacts, owners, edges, reuse_context_if_already_exist=True
        )
        records = {"Execution": subgraph.executions, "Artifact": subgraph.artifacts, "Context": contexts}
        for (table, added), numbers in zip(records.items(), put, strict=True):
            for record, number in zip(added, numbers, strict=True):
                self._numbers[record.name] = number
                self._times[table][number] = _milliseconds(record.create_time), _milliseconds(record.update_time)

    def finish(self) -> None:
        """Replaces the times of all records with those in Vertex's store."""
        del self._target
        with contextlib.closing(sqlite3.connect(self._database)) as connection, connection:
            for table, times in self._times.items():
                connection.executemany(
                    f"UPDATE {table} SET create_time_since_epoch = ?, last_update_time_since_epoch = ? WHERE id = ?",
                    [(*both, number) for number, both in times.items()],
                )

    def _artifact(self, record: Any) -> pb.Artifact:
        artifact = pb.Artifact(type_id=self._type("artifact", record.schema_title), uri=record.uri)
        artifact.state = pb.Artifact.LIVE
        return self._add_common(artifact, record)

    def _execution(self, record: Any) -> pb.Execution:
        execution = pb.Execution(type_id=self._type("execution", record.schema_title))
        state = record.state.name
        execution.last_known_state = pb.Execution.State.Value({"CANCELLED": "CANCELED"}.get(state, state))
        execution.custom_properties["task_name"].string_value = record.display_name
        parameters = {
            name.removeprefix(PARAMETER): v for name, v in record.metadata.items() if name.startswith(PARAMETER)
        }
        execution.custom_properties["inputs"].struct_value.update(parameters)
        return self._add_common(execution, record)

    def _context(self, record: Any) -> pb.Context:
        name = record.name.rpartition("/")[2] if record.schema_title == RUN else record.display_name
        return pb.Context(type_id=self._type("context", record.schema_title), name=name)

    def _add_common(self, copy: Any, record: Any) -> Any:
        """Adds the id and the properties of an artifact or an execution to its copy; returns the copy."""
        if record.name in self._numbers:
            copy.id = self._numbers[record.name]
        for name, value in record.metadata.items():
            if isinstance(value, (str, float, int)) and not name.startswith(PARAMETER):
                setattr(
                    copy.custom_properties[name], "string_value" if isinstance(value, str) else "double_value", value
                )
        return copy

    def _type(self, kind: str, name: str) -> int:
        if (kind, name) not in self._types:
            put = getattr(self._target, f"put_{kind}_type")
            self._types[kind, name] = put(getattr(pb, f"{kind.title()}Type")(name=name))
        return self._types[kind, name]


def _milliseconds(time: Any) -> int:
    return round(1000 * time.timestamp())
