"""Keeps a pushed model up to date: a new version replaces the one in use only when it is complete and can be used.

    from on_device.updates import update

    folder = update("https://models.example/shop/", "/var/lib/app/shop") or current("/var/lib/app/shop")

The address is that of a pipeline's folder as the Pusher leaves it: `latest` names the newest version, and each version
has a folder. The local folder looks the same, and holds the version in use and the one before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from on_device.artifact import INFO, ITEMS, LATEST, MODEL, open_artifact
from on_device.errors import ArtifactError
from on_device.recommender import Recommender

TIMEOUT = 30  # seconds without an answer
BLOCK = 1 << 16  # bytes that are read at once
STAGING = ".staging-"  # begins the name of a folder that a download fills

# Opens the file at an address.
Fetch = Callable[[str], BinaryIO]


def current(folder: str | Path) -> Path | None:
    """Returns the folder of the version in use; None before the first update."""
    folder = Path(folder)
    try:
        version = (folder / LATEST).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return folder / version if version.isalnum() and (folder / version / INFO).is_file() else None


def update(address: str, folder: str | Path, fetch: Fetch | None = None) -> Path | None:
    """Downloads and checks the newest version, and puts it into use; until then the one in use stays.

    One process at a time may update a folder; any number may read it.

    Args:
        address: of the pipeline's folder, `https://` or `http://`.
        folder: where versions are kept.
        fetch: opens the file at an address; by default with `urllib`.

    Returns:
        The folder of the new version; None where the newest is in use already.

    Raises:
        ArtifactError: a file cannot be downloaded or written, is not the one that was pushed, or this client or its
            runtime is too old for it. Nothing has changed then.
    """
    folder, base = Path(folder), address.rstrip("/")
    read = fetch or _fetch
    version = _read_text(f"{base}/{LATEST}", read)
    if not version.isalnum():
        raise ArtifactError(f"{base}/{LATEST}: names no version, but {version[:80]!r}")
    used = current(folder)
    if used and used.name == version:
        return None
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(f"{STAGING}*"):
            shutil.rmtree(left_over)
        staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
        staging.chmod(0o755)
    try:
        for name in (INFO, ITEMS, MODEL):
            _download(f"{base}/{version}/{name}", staging / name, read)
        Recommender(open_artifact(staging))  # Refuses what is damaged, unknown or too new.
        with _writing(folder):
            if (folder / version).exists():  # An earlier update was killed before it told.
                shutil.rmtree(folder / version)
            staging.rename(folder / version)
            _point(folder, version)
            for old in folder.iterdir():
                if old.is_dir() and old.name != version and old != used:
                    shutil.rmtree(old)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder / version


def _point(folder: Path, version: str) -> None:
    """Makes `latest` name a version, in one step."""
    pointer = folder / f".{LATEST}"
    with pointer.open("w", encoding="utf-8") as file:
        file.write(f"{version}\n")
        file.flush()
        os.fsync(file.fileno())
    pointer.replace(folder / LATEST)


def _fetch(address: str) -> BinaryIO:
    if not address.startswith(("https://", "http://")):
        raise ArtifactError(f"{address}: not an http or https address")
    answer: BinaryIO = urllib.request.urlopen(address, timeout=TIMEOUT)
    return answer


def _read_text(address: str, fetch: Fetch) -> str:
    with _reading(address), fetch(address) as file:
        return file.read(BLOCK).decode("utf-8", errors="replace").strip()


def _download(address: str, path: Path, fetch: Fetch) -> None:
    with _reading(address), fetch(address) as source, _writing(path), path.open("wb") as target:
        while block := source.read(BLOCK):
            target.write(block)
        target.flush()
        os.fsync(target.fileno())


@contextlib.contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ArtifactError(f"{address}: the server answers {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ArtifactError(f"{address}: cannot be downloaded ({' '.join(str(reason).split())})") from None


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror})") from None
