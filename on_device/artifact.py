"""Finds, reads and checks a pushed model."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from on_device.errors import ArtifactError

MODEL, ITEMS, INFO, LATEST = "model.tflite", "items.json", "model_info.json", "latest"
FORMAT = 2
PADDING, UNKNOWN, FIRST_INDEX = 0, 1, 2
PUSH_AGAIN = "push or copy it again"
BLOCK = 1 << 20  # bytes per read


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the catalogue.

    Attributes:
        index: Index in the model, from FIRST_INDEX.
        id: Id in the data.
        title: Title to display.
        genres: Genres of the item.
        year: Year of release, or None if unknown.
        count: Number of training events, or None if the catalogue was pushed without counts.
    """

    index: int
    id: str
    title: str
    genres: tuple[str, ...]
    year: int | None
    count: int | None = None


@dataclass(frozen=True)
class Artifact:
    """A pushed model.

    Attributes:
        folder: Folder of the version.
        info: Content of `model_info.json`.
        model: Path of `model.tflite`, or its content if it is not in a file.
        items: The catalogue, in the order of indices.
    """

    folder: Path
    info: dict[str, Any]
    model: Path | bytes
    items: tuple[Item, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the model."""
        return self.model.stat().st_size if isinstance(self.model, Path) else len(self.model)


def open_artifact(path: str | Path) -> Artifact:
    """Reads a pushed model.

    Args:
        path: Folder of a version, or folder of a pipeline, whose newest version is read.

    Raises:
        ArtifactError: A file is missing or broken, or is not the file that was pushed.
    """
    with _reading(Path(path)):
        folder = _version_folder(Path(path))
    info = _read_info(folder / INFO)
    _verify_file(folder / MODEL, info["sha256"])
    items = _read(folder / ITEMS)
    _verify(folder / ITEMS, hashlib.sha256(items), len(items), info["sha256"])
    with _garbage_collection_off():
        catalogue = _parse_items(folder / ITEMS, items)
    if len(catalogue) != info.get("num_items"):
        raise ArtifactError(f"{folder / ITEMS}: {len(catalogue)} items, but {INFO} says {info.get('num_items')!r}")
    return Artifact(folder, info, folder / MODEL, catalogue)


@contextlib.contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Stops the garbage collector, which would traverse all objects of a large catalogue again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _version_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ArtifactError(f"{path}: no such folder; it should hold {MODEL}, {ITEMS} and {INFO}")
    if (path / LATEST).is_file():
        version = _read(path / LATEST).decode(errors="replace").strip()
        if not version.isalnum() or not (path / version).is_dir():
            versions = ", ".join(_folders_with(path, INFO)) or "none"
            raise ArtifactError(f"{path / LATEST}: no version {version!r} in the folder; versions: {versions}")
        return path / version
    if not (path / INFO).is_file():
        pushed = [str(path / name) for name in (_folders_with(path, LATEST) or _folders_with(path, INFO))]
        hint = f"there are {', '.join(pushed)}" if pushed else f"it should hold {MODEL}, {ITEMS} and {INFO}"
        raise ArtifactError(f"{path}: holds no pushed model; {hint}")
    return path


def _folders_with(path: Path, name: str) -> list[str]:
    return sorted(child.name for child in path.iterdir() if (child / name).is_file())


def _read_info(path: Path) -> dict[str, Any]:
    info = _parse(path, _read(path))
    if info.get("format") != FORMAT:
        raise ArtifactError(f"{path}: format {info.get('format')!r}, this client reads {FORMAT}; update the client")
    if not isinstance(info.get("sha256"), dict):
        raise ArtifactError(f"{path}: sha256 is {info.get('sha256')!r}; {PUSH_AGAIN}")
    return info


def _verify_file(path: Path, checksums: dict[str, str]) -> None:
    """Verifies a file without holding it in memory."""
    digest, size = hashlib.sha256(), 0
    with _reading(path), path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    _verify(path, digest, size, checksums)


def _verify(path: Path, digest: Any, size: int, checksums: dict[str, str]) -> None:
    if digest.hexdigest() != checksums.get(path.name):
        raise ArtifactError(f"{path}: not the file that was pushed, or incomplete ({size:,} bytes); {PUSH_AGAIN}")


def _read(path: Path) -> bytes:
    with _reading(path):
        return path.read_bytes()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; {PUSH_AGAIN}") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from None


def _parse(path: Path, content: bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> dict[str, Any]:
    try:
        value = json.loads(content, object_hook=object_hook)
    except (ValueError, RecursionError) as error:  # invalid JSON or UTF-8, or lists nested too deeply
        raise ArtifactError(f"{path}: not JSON ({error}); {PUSH_AGAIN}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: expected a JSON object, found {type(value).__name__}; {PUSH_AGAIN}")
    return value


def _parse_items(path: Path, content: bytes) -> tuple[Item, ...]:
    # Items share equal tuples of genres: there are few.
    known_genres: dict[tuple[str, ...], tuple[str, ...]] = {}

    def make_item(entry: dict[str, Any]) -> Any:
        """Returns the item of a JSON object as soon as it is parsed: a million dictionaries would take a gigabyte."""
        try:
            if not isinstance(entry["genres"], list):
                return entry
            genres = tuple(map(str, entry["genres"]))
            return Item(
                int(entry["index"]),
                str(entry["id"]),
                str(entry["title"]),
                known_genres.setdefault(genres, genres),
                None if entry["year"] is None else int(entry["year"]),
                None if entry.get("count") is None else int(entry["count"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):  # JSON may hold Infinity.
            return entry

    value = _parse(path, content, make_item)
    items = value.get("items")
    if value.get("format") != FORMAT or not isinstance(items, list):
        raise ArtifactError(f'{path}: expected {{"format": {FORMAT}, "items": [...]}}; {PUSH_AGAIN}')
    for index, item in enumerate(items, start=FIRST_INDEX):
        if not isinstance(item, Item):
            raise ArtifactError(f"{path}: the entry for index {index} is not an item; {PUSH_AGAIN}")
        if item.index != index:
            raise ArtifactError(f"{path}: index {item.index} where {index} is expected; {PUSH_AGAIN}")
    return tuple(items)
