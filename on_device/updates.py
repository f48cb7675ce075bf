"""Keeps a pushed model up to date: a new version replaces the version in use only if it is complete and loads.

    from on_device.updates import update

    folder = update("https://models.example/shop/", "/var/lib/app/shop") or current("/var/lib/app/shop")

The address is that of a pipeline's folder as the Pusher writes it: `latest` names the newest version, and each version
has a folder. The local folder has the same layout. It holds the version in use and the version before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from on_device.artifact import INFO, ITEMS, LATEST, MODEL, open_artifact
from on_device.errors import ArtifactError, reason
from on_device.recommender import Recommender

TIMEOUT = 30  # seconds without a response
MAX_LATEST_BYTES = 1 << 16
STAGING = ".staging-"  # prefix of folders that are being downloaded
PUSHER_LOCK = ".lock"  # in the folder that the Pusher writes

# Opens the file at an address.
Fetch = Callable[[str], BinaryIO]


def current(folder: str | Path) -> Path | None:
    """Returns the folder of the version in use, or None before the first update."""
    folder = Path(folder)
    try:
        version = (folder / LATEST).read_text(encoding="utf-8").strip()
        return folder / version if version.isalnum() and _is_version(folder / version) else None
    except (OSError, UnicodeDecodeError):
        return None


def update(address: str, folder: str | Path, fetch: Fetch | None = None) -> Path | None:
    """Downloads and checks the newest version, and puts it into use.

    Only one process at a time may update a folder; any number may read it.

    Args:
        address: Address of the pipeline's folder, `https://` or `http://`.
        folder: Local folder of the versions, which is not the folder that the Pusher writes. Older versions in it are
            deleted.
        fetch: Opens the file at an address; by default with `urllib`.

    Returns:
        The folder of the new version, or None if the newest version is already in use. If its files are damaged, they
            are downloaded again.

    Raises:
        ArtifactError: A file cannot be downloaded or written, is not the file that was pushed, or needs a newer client
            or runtime; or the folder has the Pusher's `.lock`. The version in use has not changed.
    """
    folder, base, fetch = Path(folder), address.rstrip("/"), fetch or _fetch
    version = _read_text(f"{base}/{LATEST}", fetch)
    if not version.isalnum():
        raise ArtifactError(f"{base}/{LATEST}: {version[:80]!r} is not a version")
    in_use = current(folder)
    if in_use and in_use.name == version and _is_intact(in_use):
        return None
    staging = folder / f"{STAGING}{version}"
    with _writing(folder):
        if (folder / PUSHER_LOCK).exists():
            raise ArtifactError(
                f"{folder}: the Pusher's folder, whose versions stay; choose another folder for updates, or delete "
                f"{PUSHER_LOCK} if this is a copy"
            )
        for leftover in folder.glob(f"{STAGING}*"):
            shutil.rmtree(leftover)
        staging.mkdir(parents=True)
    try:
        for name in (INFO, ITEMS, MODEL):
            _download(f"{base}/{version}/{name}", staging / name, fetch)
        Recommender(open_artifact(staging))  # Raises an error if the version is damaged or too new.
        with _writing(folder):
            if (folder / version).exists():  # An earlier update was killed before it wrote `latest`.
                shutil.rmtree(folder / version)
            staging.rename(folder / version)
            _write_latest(folder, version)
            for old in folder.iterdir() if in_use and in_use.name != version else []:
                if _is_version(old) and old.name != version and old != in_use:
                    shutil.rmtree(old)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder / version


def _is_version(folder: Path) -> bool:
    return folder.name.isalnum() and (folder / INFO).is_file()


def _is_intact(folder: Path) -> bool:
    try:
        open_artifact(folder)
    except ArtifactError:
        return False
    return True


def _write_latest(folder: Path, version: str) -> None:
    """Replaces `latest` atomically."""
    temporary = folder / f".{LATEST}"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(f"{version}\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / LATEST)


def _fetch(address: str) -> BinaryIO:
    if not address.startswith(("https://", "http://")):
        raise ArtifactError(f"{address}: not an http or https address")
    response: BinaryIO = urllib.request.urlopen(address, timeout=TIMEOUT)
    return response


def _read_text(address: str, fetch: Fetch) -> str:
    with _reading(address), fetch(address) as file:
        return file.read(MAX_LATEST_BYTES).decode("utf-8", errors="replace").strip()


def _download(address: str, path: Path, fetch: Fetch) -> None:
    with _writing(path), path.open("wb") as target:
        with _reading(address), fetch(address) as source:
            shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())


@contextlib.contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ArtifactError(f"{address}: the server responds {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise ArtifactError(f"{address}: cannot be downloaded ({reason(error)})") from None


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror})") from None
