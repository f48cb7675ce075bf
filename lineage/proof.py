"""Proves the origin of a file by its content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lineage import facts
from lineage.errors import LineageError
from lineage.find import is_address, model_file, pushes_of
from lineage.graph import ancestors
from lineage.runs import run_of
from lineage.store import Store


@dataclass(frozen=True)
class Proof:
    """The push of a file.

    Attributes:
        file: path of the file.
        push: the last push of this content; its `sha256` is the file's.
        run_id: of the run that pushed it; None if the store does not have it.
        story: of its model.
        others: ids of the PushedModel artifacts of earlier pushes of the same content.
    """

    file: Path
    push: facts.Push
    run_id: int | None
    story: facts.Story
    others: list[int]


def prove(store: Store, place: str) -> Proof:
    """Returns the last push of a file. Only the store and the file's content count: files beside it are not read.

    Args:
        store: to search.
        place: path of the file, of the folder of its version, or of the folder of the versions.

    Raises:
        UnknownError: a file with this content was never pushed.
        LineageError: there is no such file, or the store has lost its origin.
    """
    if is_address(place):
        raise LineageError(f"{place}: only a file on this machine can be proved; copy it here, and give its path")
    file = model_file(place) or Path(place)
    *others, artifact = pushes_of(store, file)
    graph = ancestors(store, [artifact.id])
    push, model = facts.push(graph, artifact), facts.pushed_model(graph, artifact.id)
    maker = graph.maker(artifact.id)
    if push is None or model is None or maker is None:
        raise LineageError(f"{store.where}: the file was pushed (artifact {artifact.id}), but not its model")
    story = facts.story(graph, model, artifact.id)
    return Proof(file, push, run_of(store, maker), story, [other.id for other in others])
