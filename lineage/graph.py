"""Walks a store: what went into some artifacts, and what came of them."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.store import Store

INPUT_EVENTS = (pb.Event.INPUT, pb.Event.DECLARED_INPUT, pb.Event.INTERNAL_INPUT)
OUTPUT_EVENTS = (pb.Event.OUTPUT, pb.Event.DECLARED_OUTPUT, pb.Event.INTERNAL_OUTPUT)

# What came in under these names was looked at beside the rest; nothing was made of it.
COMPARED = frozenset({"baseline_model"})
# The launcher of Kubeflow Pipelines records each step's log as an output of this name, and the artifacts' store as a
# property. Neither is a result of the step.
LOG = "executor-logs"
STORE_OF_ARTIFACT = "store_session_info"
# Executions of this type choose among artifacts of earlier runs, and make none.
RESOLVER = "Resolver"


@dataclass(frozen=True)
class Artifact:
    """Something that was made.

    Attributes:
        id: in the store.
        type: last part of the name of its type, such as `Model`.
        uri: where it is.
        name: as the store has it; empty for most.
        state: such as `LIVE`.
        created: milliseconds since the epoch.
        properties: its own and the custom ones.
    """

    id: int
    type: str
    uri: str
    name: str
    state: str
    created: int
    properties: dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """A step as it ran once.

    Attributes:
        id: in the store.
        type: last part of the name of its type, such as `Trainer`.
        state: `RUNNING`, `COMPLETE`, `FAILED`, `CACHED`, `CANCELED`, ...
        started: milliseconds since the epoch.
        changed: when its record changed last, which is its end where it ended.
        properties: its own and the custom ones: the step's parameters.
    """

    id: int
    type: str
    state: str
    started: int
    changed: int
    properties: dict[str, Any]


@dataclass(frozen=True, order=True)
class Link:
    """An execution took or made an artifact.

    Attributes:
        execution: its id.
        artifact: its id.
        name: of the step's input or output.
        made: whether it is an output.
    """

    execution: int
    artifact: int
    name: str
    made: bool


@dataclass(frozen=True)
class Graph:
    """Executions and artifacts by id, and who took or made what."""

    artifacts: dict[int, Artifact]
    executions: dict[int, Execution]
    links: frozenset[Link]

    def inputs(self, execution: int) -> list[Link]:
        """What an execution took."""
        return [link for link in self._by_execution.get(execution, []) if not link.made]

    def outputs(self, execution: int) -> list[Link]:
        """What an execution made, or took from the cache."""
        return [link for link in self._by_execution.get(execution, []) if link.made]

    def maker(self, artifact: int) -> int | None:
        """Who made an artifact; None where that is not in this graph."""
        return min((link.execution for link in self._by_artifact.get(artifact, []) if link.made), default=None)

    def takers(self, artifact: int) -> list[Link]:
        """Who took an artifact."""
        return [link for link in self._by_artifact.get(artifact, []) if not link.made]

    def of_type(self, *types: str) -> list[Artifact]:
        """The artifacts of some types, by id."""
        return sorted((a for a in self.artifacts.values() if a.type in types), key=lambda artifact: artifact.id)

    def merge(self, other: Graph) -> Graph:
        """Both graphs in one."""
        return Graph(
            {**self.artifacts, **other.artifacts}, {**self.executions, **other.executions}, self.links | other.links
        )

    @functools.cached_property
    def _by_execution(self) -> dict[int, list[Link]]:
        groups: dict[int, list[Link]] = defaultdict(list)
        for link in sorted(self.links):
            groups[link.execution].append(link)
        return groups

    @functools.cached_property
    def _by_artifact(self) -> dict[int, list[Link]]:
        groups: dict[int, list[Link]] = defaultdict(list)
        for link in sorted(self.links):
            groups[link.artifact].append(link)
        return groups


def ancestors(store: Store, artifacts: Iterable[int] = (), executions: Iterable[int] = ()) -> Graph:
    """Everything that went into some artifacts or executions, and these themselves.

    An artifact was made by the first execution that has it as an output: later ones took it from the cache or, as
    resolvers do, handed it on. What a model was merely compared with is shown, but not followed.
    """
    links: set[Link] = set()
    followed: set[int] = set()
    seen: set[int] = set()
    wanted, open_executions = set(artifacts), set(executions)
    while wanted or open_executions:
        seen |= wanted
        fresh = (open_executions | set(makers(store, wanted).values())) - followed
        followed |= fresh
        found = _links(store.events_of_executions(fresh))
        links |= found
        wanted = {link.artifact for link in found if not link.made and link.name not in COMPARED} - seen
        open_executions = set()
    return _graph(store, seen, map(read_execution, store.executions(followed)), links)


def descendants(store: Store, artifacts: Iterable[int]) -> Graph:
    """Everything that was made of some artifacts, and these themselves.

    Executions that took all from the cache, and resolvers, are left out: what they hand on was made by others.
    """
    links: set[Link] = set()
    executions: dict[int, Execution] = {}
    seen: set[int] = set()
    wanted = set(artifacts)
    while wanted:
        seen |= wanted
        takers = {e.id: e for e in takers_of(store, wanted) if e.id not in executions}
        executions |= takers
        found = _links(store.events_of_executions(takers))
        made_by = makers(store, (link.artifact for link in found if link.made))
        found = {link for link in found if not link.made or made_by[link.artifact] == link.execution}
        links |= found
        wanted = {link.artifact for link in found if link.made} - seen
    return _graph(store, seen, executions.values(), links)


def takers_of(store: Store, artifacts: Iterable[int]) -> list[Execution]:
    """Who made something of some artifacts, or tried to: without what was cached, compared, or merely handed on."""
    links = _links(store.events_of_artifacts(artifacts))
    taken = {link.execution for link in links if not link.made and link.name not in COMPARED}
    executions = map(read_execution, store.executions(taken))
    return [e for e in executions if e.state != "CACHED" and e.type != RESOLVER]


def of_executions(store: Store, executions: Iterable[Execution]) -> Graph:
    """Some executions with all that they took and made."""
    known = list(executions)
    return _graph(store, (), known, _links(store.events_of_executions(execution.id for execution in known)))


def makers(store: Store, artifacts: Iterable[int]) -> dict[int, int]:
    """The execution that made each artifact, by the artifact's id; those that no execution made are left out."""
    first: dict[int, int] = {}
    for event in store.events_of_artifacts(artifacts):
        if event.type in OUTPUT_EVENTS:
            first[event.artifact_id] = min(event.execution_id, first.get(event.artifact_id, event.execution_id))
    return first


def read_artifact(record: pb.Artifact) -> Artifact:
    """An artifact of the store."""
    return Artifact(
        id=record.id,
        type=record.type.rpartition(".")[2],
        uri=record.uri,
        name=record.name,
        state=pb.Artifact.State.Name(record.state),
        created=record.create_time_since_epoch,
        properties=_properties(record),
    )


def read_execution(record: pb.Execution) -> Execution:
    """An execution of the store."""
    return Execution(
        id=record.id,
        type=record.type.rpartition(".")[2],
        state=pb.Execution.State.Name(record.last_known_state),
        started=record.create_time_since_epoch,
        changed=record.last_update_time_since_epoch,
        properties=_properties(record),
    )


def _graph(store: Store, artifacts: Iterable[int], executions: Iterable[Execution], links: set[Link]) -> Graph:
    """A graph of some executions, with `artifacts` and all that the links mention."""
    mentioned = {*artifacts, *(link.artifact for link in links)}
    return Graph(
        {artifact.id: artifact for artifact in map(read_artifact, store.artifacts(mentioned))},
        {execution.id: execution for execution in executions},
        frozenset(links),
    )


def _links(events: Iterable[pb.Event]) -> set[Link]:
    return {
        Link(event.execution_id, event.artifact_id, _name(event), event.type in OUTPUT_EVENTS)
        for event in events
        if (event.type in INPUT_EVENTS or event.type in OUTPUT_EVENTS) and _name(event) != LOG
    }


def _name(event: pb.Event) -> str:
    return next((step.key for step in event.path.steps if step.HasField("key")), "")


def _properties(record: pb.Artifact | pb.Execution) -> dict[str, Any]:
    return {
        name: _value(value)
        for held in (record.properties, record.custom_properties)
        for name, value in held.items()
        if name != STORE_OF_ARTIFACT
    }


def _value(value: pb.Value) -> Any:
    kind = value.WhichOneof("value")
    if kind == "struct_value":
        content = json_format.MessageToDict(value.struct_value)
        # TFX keeps what is no struct as JSON in one.
        return json.loads(content["__value__"]) if set(content) == {"__value__"} else content
    if kind == "proto_value":
        return f"{value.proto_value.type_url}, {len(value.proto_value.value)} bytes"
    return getattr(value, kind) if kind else None
