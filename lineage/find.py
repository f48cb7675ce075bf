"""Finds an artifact or an execution by a pushed file or folder, an id, or an address."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

from lineage import facts
from lineage.errors import LineageError, UnknownError
from lineage.graph import (
    Artifact,
    Execution,
    Graph,
    ancestors,
    descendants,
    graph_of_executions,
    read_artifact,
    read_execution,
    takers_of,
)
from lineage.store import Store

MODEL_FILE = "model.tflite"
LATEST = "latest"


@dataclass(frozen=True)
class Match:
    """An artifact or an execution that matches a query, with its lineage.

    Attributes:
        node: the artifact or the execution.
        graph: its ancestors and descendants.
        model: id of the artifact if it is a Model, of the pushed Model for a PushedModel, or of the Model that an
            execution made; None for anything else.
    """

    node: Artifact | Execution
    graph: Graph
    model: int | None

    @functools.cached_property
    def story(self) -> facts.Story | None:
        """Returns the story of the model; for a pushed model, only of this push; None without a model."""
        if self.model is None:
            return None
        pushed = self.node.id if self.node.type == facts.PUSHED_MODEL else None
        return facts.story(self.graph, self.model, pushed)


def find(store: Store, query: str) -> Match:
    """Finds an artifact or an execution with its lineage.

    Args:
        store: to search.
        query: an artifact's id or address; `execution:ID`; a pushed file, its folder, or the folder of the versions.
            A number is an artifact's id or, without such an artifact, an execution's.

    Raises:
        UnknownError: the store does not have it.
        LineageError: a file cannot be read.
    """
    kind, _, number = query.rpartition(":")
    if kind in ("artifact", "execution", "") and number.isdecimal():
        if kind != "execution" and (artifacts := store.artifacts([int(number)])):
            return _match(store, read_artifact(artifacts[0]))
        if kind != "artifact" and (executions := store.executions([int(number)])):
            return _match(store, read_execution(executions[0]))
        raise UnknownError(f"{store.where}: no {kind or 'artifact or execution'} has the id {number}")
    if file := model_file(query):
        return _match(store, pushes_of(store, file)[-1])
    candidates = [read_artifact(record) for record in store.artifacts_at(query)] or _pushed_to(store, query)
    if not candidates:
        raise UnknownError(f"{store.where}: does not have {query}; give an artifact's id or address, or a pushed file")
    return _match(store, candidates[-1])


def is_address(text: str) -> bool:
    """Returns whether a text is an address, for example `gs://BUCKET/KEY`, and not a path of this machine."""
    return "://" in text


def model_file(place: str) -> Path | None:
    """Returns the pushed file at a path: the file itself, the one of a version, or the one of the latest version.

    Returns None if there is none on this machine.
    """
    if is_address(place):
        return None
    path = Path(place)
    candidates = [path] if path.suffix == Path(MODEL_FILE).suffix else [path / MODEL_FILE]
    latest = path / LATEST
    try:
        if latest.is_file():
            candidates.append(path / latest.read_text(encoding="utf-8", errors="replace").strip() / MODEL_FILE)
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    except OSError:  # No permission, or the text is too long for a path.
        return None


def pushes_of(store: Store, file: Path) -> list[Artifact]:
    """Returns the PushedModel artifacts with the content of a file, oldest first. Files beside it are not read.

    Raises:
        UnknownError: a file with this content was never pushed.
        LineageError: the file cannot be read.
    """
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise LineageError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    pushes = [artifact for artifact in _pushed(store) if artifact.properties.get("sha256") == digest]
    if not pushes:
        raise UnknownError(f"unknown file: {file} (sha256 {digest}) was never pushed, says {store.where}")
    return pushes


def _pushed(store: Store) -> list[Artifact]:
    """Returns all PushedModel artifacts that were pushed, oldest first."""
    artifacts = map(read_artifact, store.artifacts_of_type(facts.PUSHED_MODEL))
    return sorted((a for a in artifacts if a.properties.get("pushed")), key=lambda artifact: artifact.id)


def _pushed_to(store: Store, place: str) -> list[Artifact]:
    """Returns the PushedModel artifacts of a file, of a version's folder or of the versions' folder, oldest first."""
    folder = place.rstrip("/").removesuffix(f"/{MODEL_FILE}")
    places = {folder} if is_address(place) else {str(Path(folder)), str(Path(folder).resolve())}
    pushes = [(artifact, str(artifact.properties.get("pushed_destination", ""))) for artifact in _pushed(store)]
    return [a for a, destination in pushes if destination in places or destination.rpartition("/")[0] in places]


def _match(store: Store, node: Artifact | Execution) -> Match:
    """Returns the lineage of a node. The descendants of a pushed file are those of its model."""
    if isinstance(node, Artifact):
        graph = ancestors(store, [node.id])
        model = facts.pushed_model(graph, node.id) if node.type == facts.PUSHED_MODEL else None
        model = node.id if node.type == facts.MODEL else model
        starts = [node.id if model is None else model]
    else:
        graph = graph_of_executions(store, [node])
        starts = [link.artifact for link in graph.outputs(node.id)]
        # The outputs too: another execution made those of a cached execution or of a resolver.
        graph = graph.merge(ancestors(store, (link.artifact for link in graph.links if not link.is_compared)))
        model = next((a.id for a in graph.of_type(facts.MODEL) if graph.maker(a.id) == node.id), None)
    # No step of the graph took the statistics of its examples.
    takers = takers_of(store, (artifact.id for artifact in graph.of_type(facts.EXAMPLES)))
    counted = graph_of_executions(store, (e for e in takers if facts.step_name(e) == facts.STATISTICS_GEN))
    return Match(node, graph.merge(counted).merge(descendants(store, starts)), model)
