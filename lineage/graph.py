"""Walks a store: finds the ancestors and the descendants of artifacts."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2 as pb

from lineage.store import Store

INPUT_EVENTS = (pb.Event.INPUT, pb.Event.DECLARED_INPUT, pb.Event.INTERNAL_INPUT)
OUTPUT_EVENTS = (pb.Event.OUTPUT, pb.Event.DECLARED_OUTPUT, pb.Event.INTERNAL_OUTPUT)

COMPARED = frozenset({"baseline_model"})  # inputs that a step only compares with: nothing is made from them
# The launcher of Kubeflow Pipelines records each step's log as an output of this name, and the artifacts' store as a
# property. Neither is a result of the step.
LOG = "executor-logs"
STORE_OF_ARTIFACT = "store_session_info"
OPEN_STATES = {"RUNNING", "NEW"}  # of executions that have not ended
RESOLVER = "Resolver"  # type of executions that choose among artifacts of earlier runs, and make none


@dataclass(frozen=True)
class Node:
    """An artifact or an execution of the store.

    Attributes:
        id: in the store.
        type: last part of the type's name, such as `Model` or `Trainer`.
        state: of an artifact, such as `LIVE`; of an execution, such as `COMPLETE`, `FAILED` or `CACHED`.
        properties: including the custom ones; those of an execution have the step's parameters.
    """

    letter: ClassVar[str]

    id: int
    type: str
    state: str
    properties: dict[str, Any]

    @property
    def key(self) -> str:
        """Returns a key that no other node of a graph has."""
        return f"{self.letter}{self.id}"


@dataclass(frozen=True)
class Artifact(Node):
    """An artifact of the store.

    Attributes:
        uri: address of its files.
        name: in the store; empty for most.
        created: milliseconds since the epoch.
    """

    letter = "a"

    uri: str
    name: str
    created: int


@dataclass(frozen=True)
class Execution(Node):
    """One execution of a step.

    Attributes:
        started: milliseconds since the epoch.
        changed: time of the last change of its record, in milliseconds; its end, if it has ended.
    """

    letter = "e"

    started: int
    changed: int

    @property
    def seconds(self) -> float | None:
        """Returns its duration; None if it has not ended."""
        return None if self.state in OPEN_STATES else (self.changed - self.started) / 1000


@dataclass(frozen=True, order=True)
class Link:
    """An input or an output of an execution.

    Attributes:
        execution: id of the execution.
        artifact: id of the artifact.
        name: of the step's input or output.
        made: whether it is an output.
    """

    execution: int
    artifact: int
    name: str
    made: bool

    @property
    def start(self) -> str:
        """Returns the key of the node from which the data comes."""
        return f"e{self.execution}" if self.made else f"a{self.artifact}"

    @property
    def end(self) -> str:
        """Returns the key of the node to which the data goes."""
        return f"a{self.artifact}" if self.made else f"e{self.execution}"

    @property
    def is_compared(self) -> bool:
        """Returns whether the execution only compares with the artifact: it makes nothing from it."""
        return self.name in COMPARED


@dataclass(frozen=True)
class Graph:
    """Executions and artifacts by id, and the links between them: both nodes of a link are in the graph."""

    artifacts: dict[int, Artifact]
    executions: dict[int, Execution]
    links: frozenset[Link]

    def before(self, key: str) -> list[Link]:
        """Returns the links to a node."""
        return self._by_end.get(key, [])

    def after(self, key: str) -> list[Link]:
        """Returns the links from a node."""
        return self._by_start.get(key, [])

    def inputs(self, execution: int) -> list[Link]:
        """Returns the inputs of an execution."""
        return self.before(f"e{execution}")

    def outputs(self, execution: int) -> list[Link]:
        """Returns the outputs of an execution, cached ones too."""
        return self.after(f"e{execution}")

    def maker(self, artifact: int) -> int | None:
        """Returns the execution that made an artifact; None if this graph does not have it."""
        return min((link.execution for link in self.before(f"a{artifact}")), default=None)

    def input_of(self, execution: int, kind: str) -> Artifact | None:
        """Returns the first input of a type that is not only compared with."""
        links = [link for link in self.inputs(execution) if not link.is_compared]
        return next((a for a in (self.artifacts[link.artifact] for link in links) if a.type == kind), None)

    def output_of(self, execution: int, kind: str) -> Artifact | None:
        """Returns the first output of a type."""
        artifacts = (self.artifacts[link.artifact] for link in self.outputs(execution))
        return next((artifact for artifact in artifacts if artifact.type == kind), None)

    def of_type(self, *types: str) -> list[Artifact]:
        """Returns the artifacts of some types, sorted by id."""
        return sorted((a for a in self.artifacts.values() if a.type in types), key=lambda artifact: artifact.id)

    def merge(self, other: Graph) -> Graph:
        """Returns the union of two graphs."""
        return Graph(
            {**self.artifacts, **other.artifacts}, {**self.executions, **other.executions}, self.links | other.links
        )

    @functools.cached_property
    def nodes(self) -> dict[str, Artifact | Execution]:
        """Returns the artifacts and the executions by key."""
        nodes: list[Artifact | Execution] = [*self.artifacts.values(), *self.executions.values()]
        return {node.key: node for node in nodes}

    @functools.cached_property
    def _by_end(self) -> dict[str, list[Link]]:
        return _group(self.links, lambda link: link.end)

    @functools.cached_property
    def _by_start(self) -> dict[str, list[Link]]:
        return _group(self.links, lambda link: link.start)


NO_GRAPH = Graph({}, {}, frozenset())


def ancestors(store: Store, artifacts: Iterable[int]) -> Graph:
    """Returns the ancestors of artifacts, and these themselves.

    The first execution that has an artifact as an output made it: later ones took it from the cache or, as resolvers
    do, handed it on. The model that another was compared with is in the graph, but not its ancestors.
    """
    return _walk(store, artifacts, makers_of, lambda link: not link.made and not link.is_compared)


def descendants(store: Store, artifacts: Iterable[int]) -> Graph:
    """Returns the descendants of artifacts, and these themselves.

    Cached executions and resolvers are left out: they hand on the outputs of others.
    """
    return _walk(store, artifacts, takers_of, lambda link: link.made)


def makers_of(store: Store, artifacts: Iterable[int]) -> list[Execution]:
    """Returns the executions that made artifacts."""
    first: dict[int, int] = {}
    for event in store.events_of_artifacts(artifacts):
        if event.type in OUTPUT_EVENTS:
            first[event.artifact_id] = min(event.execution_id, first.get(event.artifact_id, event.execution_id))
    return [read_execution(record) for record in store.executions(first.values())]


def takers_of(store: Store, artifacts: Iterable[int]) -> list[Execution]:
    """Returns the executions that processed artifacts: none that were cached, only compared, or handed artifacts on."""
    links = _links(store.events_of_artifacts(artifacts))
    taken = {link.execution for link in links if not link.made and not link.is_compared}
    executions = map(read_execution, store.executions(taken))
    return [e for e in executions if e.state != "CACHED" and e.type != RESOLVER]


def graph_of_executions(store: Store, executions: Iterable[Execution]) -> Graph:
    """Returns the graph of executions and all their inputs and outputs."""
    nodes = {execution.id: execution for execution in executions}
    links = _links(store.events_of_executions(nodes))
    artifacts = _artifacts(store, (link.artifact for link in links))
    return Graph(artifacts, nodes, frozenset(link for link in links if link.artifact in artifacts))


def read_artifact(record: pb.Artifact) -> Artifact:
    """Converts the store's record of an artifact."""
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
    """Converts the store's record of an execution."""
    return Execution(
        id=record.id,
        type=record.type.rpartition(".")[2],
        state=pb.Execution.State.Name(record.last_known_state),
        started=record.create_time_since_epoch,
        changed=record.last_update_time_since_epoch,
        properties=_properties(record),
    )


def _walk(
    store: Store,
    artifacts: Iterable[int],
    next_executions: Callable[[Store, Iterable[int]], list[Execution]],
    leads_on: Callable[[Link], bool],
) -> Graph:
    """Walks from artifacts to the next executions, and on to the artifacts of their links that lead on."""
    seen, new = set[int](), set(artifacts)
    graph = Graph(_artifacts(store, new), {}, frozenset())
    while new:
        seen |= new
        found = graph_of_executions(store, (e for e in next_executions(store, new) if e.id not in graph.executions))
        new = {link.artifact for link in found.links if leads_on(link)} - seen
        graph = graph.merge(found)
    return graph


def _artifacts(store: Store, ids: Iterable[int]) -> dict[int, Artifact]:
    return {artifact.id: artifact for artifact in map(read_artifact, store.artifacts(ids))}


def _group(links: Iterable[Link], key: Callable[[Link], str]) -> dict[str, list[Link]]:
    groups = defaultdict(list)
    for link in sorted(links):
        groups[key(link)].append(link)
    return groups


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
        for properties in (record.properties, record.custom_properties)
        for name, value in sorted(properties.items())
        if name != STORE_OF_ARTIFACT
    }


def _value(value: pb.Value) -> Any:
    kind = value.WhichOneof("value")
    if kind == "struct_value":
        content = json_format.MessageToDict(value.struct_value)
        # TFX keeps any other JSON value as text in a struct.
        return json.loads(content["__value__"]) if set(content) == {"__value__"} else content
    if kind == "proto_value":
        return f"{value.proto_value.type_url}, {len(value.proto_value.value)} bytes"
    return getattr(value, kind) if kind else None
