"""The cache folder, and zips unpacked into it."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import DataError
from data.files import base_name, file_digest, file_system

# Errors of `zipfile` for a corrupt zip.
CORRUPT = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def make_cache_dir(cache_dir: Path) -> None:
    """Creates the cache folder.

    Raises:
        DataError: the folder cannot be created or written.
    """
    reason = "no permission"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        if os.access(cache_dir, os.W_OK | os.X_OK):
            return
    except OSError as error:
        reason = error.strerror or str(error)
    raise DataError(f"{cache_dir}: the cache folder cannot be written ({reason}); choose another with --cache-dir")


def unpack(archive: Path, cache_dir: Path) -> Path:
    """Unpacks a zip into the cache, completely or not at all.

    Returns:
        The folder with the content. A zip with the same content is unpacked only once.

    Raises:
        DataError: the zip is corrupt, or a member would be written outside the folder.
    """
    folder = cache_dir / f"{archive.stem}-{file_digest(archive)[:12]}"
    if folder.is_dir():
        return folder
    make_cache_dir(cache_dir)
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache_dir))
    try:
        with opened_zip(archive) as source:
            for member in source.infolist():
                source.extract(member, staging)
        try:
            os.rename(staging, folder)
        except OSError:
            if not folder.is_dir():  # Another run was faster.
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return folder


@contextmanager
def opened_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip after a check that no member would be unpacked outside the target folder.

    Raises:
        DataError: the check fails, or the zip cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            for member in source.infolist():
                name = member.filename.replace("\\", "/")
                if name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
                    raise DataError(f"{archive}: refused: {member.filename!r} would be unpacked outside its folder")
                if stat.S_ISLNK(member.external_attr >> 16):
                    raise DataError(f"{archive}: refused: {member.filename!r} is a link")
            yield source
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked ({error})") from None
    except CORRUPT as error:
        raise DataError(f"{archive}: a corrupt zip ({error}); download it again") from None


def local_copy(path: str, cache_dir: Path) -> Path:
    """Downloads a file from an object store into the cache; replaces an earlier copy, which may be outdated."""
    make_cache_dir(cache_dir)
    target = cache_dir / "remote" / hashlib.sha256(path.encode()).hexdigest()[:16] / base_name(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    system, inner = file_system(path)
    with system.open_input_stream(inner) as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
    return target
