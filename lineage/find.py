"""Finds an artifact or an execution by a pushed file or folder, an id, or an address."""

from __future__ import annotations

import errno
import functools
import glob
import hashlib
import os
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
MAX_DIGITS = 18  # of an id; a store's ids have 64 bits


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
        query: an artifact's id or address; `execution:ID`; a pushed file or a copy of it, its folder, or the folder of
            the versions. A number is an artifact's id or, without such an artifact, an execution's.

    Raises:
        UnknownError: the store does not have it.
        LineageError: a file or a folder cannot be read.
    """
    kind, _, number = query.rpartition(":")
    if kind in ("artifact", "execution", "") and number.isdecimal():
        ids = [int(number)] if len(number) <= MAX_DIGITS else []
        if kind != "execution" and (artifacts := store.artifacts(ids)):
            return _match(store, read_artifact(artifacts[0]))
        if kind != "artifact" and (executions := store.executions(ids)):
            return _match(store, read_execution(executions[0]))
        raise UnknownError(f"{store.where}: no {kind or 'artifact or execution'} has the id {number}")
    candidates = [read_artifact(record) for place in _places(query) for record in store.artifacts_at(place)]
    if not candidates:
        file = model_file(query)
        candidates = pushes_of(store, file) if file else _pushed_to(store, query)
    if not candidates:
        advice = _models_in(query) or "give an artifact's id or address, or a pushed file"
        raise UnknownError(f"{store.where}: does not have {query}; {advice}")
    return _match(store, max(candidates, key=lambda artifact: artifact.id))


def is_address(text: str) -> bool:
    """Returns whether a text is an address, for example `gs://BUCKET/KEY`, and not a path of this machine."""
    return "://" in text


def model_file(place: str) -> Path | None:
    """Returns the pushed file at a path: the file itself, the one of a version, or the one of the latest version.

    Returns None if there is none on this machine.

    Raises:
        LineageError: a folder cannot be read.
    """
    if is_address(place):
        return None
    path = Path(place)
    candidates, latest = [path, path / MODEL_FILE], path / LATEST
    try:
        if latest.is_file():
            candidates.append(path / latest.read_text(encoding="utf-8", errors="replace").strip() / MODEL_FILE)
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # The text is not a path.
            return None
        raise LineageError(f"{place}: {_unreadable(error)}") from None


def pushes_of(store: Store, file: Path) -> list[Artifact]:
    """Returns the PushedModel artifacts with the content of a file, oldest first. Files beside it are not read.

    Raises:
        UnknownError: a file with this content was never pushed.
        LineageError: the file cannot be read.
    """
    try:
        digest = hashlib.sha256()
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    except IsADirectoryError:
        advice = _models_in(str(file)) or "give the path of a pushed file"
        raise LineageError(f"{file}: a folder without {MODEL_FILE}; {advice}") from None
    except OSError as error:
        raise LineageError(f"{file}: {_unreadable(error)}") from None
    pushes = [artifact for artifact in _pushed(store) if artifact.properties.get("sha256") == digest.hexdigest()]
    if not pushes:
        raise UnknownError(f"unknown file: {file} (sha256 {digest.hexdigest()}) was never pushed, says {store.where}")
    return pushes


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def _models_in(place: str) -> str:
    """Returns advice that names the folders of versions in a folder of this machine; empty without any."""
    latest = [] if is_address(place) else sorted(glob.glob(f"{glob.escape(place.rstrip('/'))}/*/{LATEST}"))
    folders = [os.path.dirname(file) for file in latest if os.path.isfile(file)]
    return f"pushed models are in {', '.join(folders)}" if folders else ""


def _places(place: str) -> list[str]:
    """Returns an address without a slash at its end; for a path of this machine, also the absolute paths."""
    paths = [] if is_address(place) else [str(Path(place)), os.path.abspath(place), os.path.realpath(place)]
    return list(dict.fromkeys(filter(None, [place, place.rstrip("/"), *paths])))


def _pushed(store: Store) -> list[Artifact]:
    """Returns all PushedModel artifacts that were pushed, oldest first."""
    artifacts = map(read_artifact, store.artifacts_of_type(facts.PUSHED_MODEL))
    return sorted((a for a in artifacts if a.properties.get("pushed")), key=lambda artifact: artifact.id)


def _pushed_to(store: Store, place: str) -> list[Artifact]:
    """Returns the PushedModel artifacts of a file, of a version's folder or of the versions' folder, oldest first."""
    places = _places(place.rstrip("/").removesuffix(f"/{MODEL_FILE}"))
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
