"""Finds what a person means: a file or folder that was pushed, an id, an address."""

from __future__ import annotations

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
    makers,
    of_executions,
    read_artifact,
    read_execution,
    takers_of,
)
from lineage.store import Store

MODEL_FILE = "model.tflite"
LATEST = "latest"


@dataclass(frozen=True)
class Found:
    """What is shown.

    Attributes:
        artifact: where it is one.
        execution: where it is one.
        graph: everything that went into it and came of it.
        model: id of the Model artifact that it is, or was made of; None where it is something else.
    """

    artifact: Artifact | None
    execution: Execution | None
    graph: Graph
    model: int | None


def find(store: Store, what: str) -> Found:
    """Find an artifact or an execution with all that belongs to it.

    Args:
        store: to look in.
        what: an artifact's id or address; `execution:ID`; a pushed file, its folder, or the folder of the versions.
            A number is an artifact's id and, where there is no such artifact, an execution's.

    Raises:
        UnknownError: the store has not seen it.
        LineageError: a file cannot be read.
    """
    kind, _, number = what.rpartition(":")
    if kind in ("artifact", "execution", "") and number.isdecimal():
        for record in store.artifacts([int(number)]) if kind != "execution" else []:
            return _of_artifact(store, read_artifact(record))
        for record in store.executions([int(number)]) if kind != "artifact" else []:
            return _of_execution(store, read_execution(record))
        raise UnknownError(f"{store.where}: no {kind or 'artifact or execution'} has the id {number}")
    file = model_file(what)
    if file is not None:
        return _of_artifact(store, pushes_of(store, file)[-1])
    found = [read_artifact(record) for record in store.artifacts_at(what)] or _pushed_to(store, what)
    if not found:
        raise UnknownError(
            f"{store.where}: knows nothing of {what}; give an artifact's id or address, or a pushed file"
        )
    return _of_artifact(store, found[-1])


def is_address(text: str) -> bool:
    """Whether a text is an address such as `gs://BUCKET/KEY`, and not a path of this machine."""
    return "://" in text


def model_file(place: str) -> Path | None:
    """The pushed file that a path means, where it is on this machine: itself, in a version, or in the latest one."""
    if is_address(place):
        return None
    path = Path(place)
    candidates = [path] if path.suffix == Path(MODEL_FILE).suffix else [path / MODEL_FILE]
    latest = path / LATEST
    try:
        if latest.is_file():
            candidates.append(path / latest.read_text(encoding="utf-8", errors="replace").strip() / MODEL_FILE)
        return next((candidate for candidate in candidates if candidate.is_file()), None)
    except OSError:  # Not allowed, or no path at all: a long address, say.
        return None


def sha256(file: Path) -> str:
    """The SHA-256 of a file, hexadecimal.

    Raises:
        LineageError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise LineageError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    return digest.hexdigest()


def pushes_of(store: Store, file: Path) -> list[Artifact]:
    """The PushedModel artifacts of exactly this file, oldest first. What lies beside it is not looked at.

    Raises:
        UnknownError: the store has no such file.
        LineageError: it cannot be read.
    """
    digest = sha256(file)
    found = [artifact for artifact in _pushed(store) if artifact.properties.get("sha256") == digest]
    if not found:
        raise UnknownError(f"unknown file: {file} (sha256 {digest}) was never pushed, says {store.where}")
    return found


def _pushed(store: Store) -> list[Artifact]:
    """All that was pushed, oldest first."""
    types = [name for name in store.artifact_types() if name.rpartition(".")[2] == facts.PUSHED_MODEL]
    found = [read_artifact(record) for name in types for record in store.artifacts_of_type(name)]
    return sorted((a for a in found if a.properties.get("pushed")), key=lambda artifact: artifact.id)


def _pushed_to(store: Store, place: str) -> list[Artifact]:
    """What was pushed to a file, a version's folder or the folder of the versions, oldest first."""
    folder = place.rstrip("/").removesuffix(f"/{MODEL_FILE}")
    places = {folder} if is_address(place) else {str(Path(folder)), str(Path(folder).resolve())}
    found = [(artifact, str(artifact.properties.get("pushed_destination", ""))) for artifact in _pushed(store)]
    return [a for a, destination in found if destination in places or destination.rpartition("/")[0] in places]


def _with_statistics(store: Store, graph: Graph) -> Graph:
    """A graph with the statistics of its data, of which nothing else was made."""
    takers = takers_of(store, (artifact.id for artifact in graph.of_type(facts.EXAMPLES)))
    return graph.merge(of_executions(store, (e for e in takers if facts.step_name(e) == facts.STATISTICS_GEN)))


def _of_artifact(store: Store, artifact: Artifact) -> Found:
    graph = _with_statistics(store, ancestors(store, [artifact.id]))
    model = artifact.id if artifact.type == facts.MODEL else None
    if artifact.type == facts.PUSHED_MODEL:
        model = facts.pushed_model(graph, artifact.id)
    graph = graph.merge(descendants(store, [artifact.id if model is None else model]))
    return Found(artifact, None, graph, model)


def _of_execution(store: Store, execution: Execution) -> Found:
    graph = _with_statistics(store, ancestors(store, executions=[execution.id]))
    outputs = [link.artifact for link in graph.outputs(execution.id)]
    # What a cached execution, or a resolver, hands on was made by another one.
    others = set(makers(store, outputs).values()) - {execution.id}
    graph = graph.merge(ancestors(store, outputs) if others else graph).merge(descendants(store, outputs))
    models = [i for i in outputs if graph.artifacts[i].type == facts.MODEL and not others]
    return Found(None, execution, graph, models[0] if models else None)
