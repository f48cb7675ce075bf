"""Where data lies: files on this machine, in zips, and in object stores, by PyArrow's file systems."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from data.errors import DataError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Above this size, reading everything once more for a checksum costs more than it brings.
MAX_HASHED_BYTES = 8 << 30


@dataclass(frozen=True)
class DataFile:
    """A file of data.

    Attributes:
        path: absolute path, or URI.
        size: in bytes.
        changed: time of its last change in ns since 1970; 0 where the store does not know it.
    """

    path: str
    size: int
    changed: int

    @property
    def name(self) -> str:
        """The name without its folder."""
        return base_name(self.path)

    @property
    def compression(self) -> str | None:
        """`gzip` or `zstd`, by the suffix; None where the file is plain."""
        return COMPRESSIONS.get(os.path.splitext(self.path)[1].lower())


def is_uri(path: str) -> bool:
    """Returns whether a path is a URI of an object store."""
    return "://" in path


def base_name(path: str) -> str:
    """Returns the last part of a path or URI."""
    return path.rstrip("/").rpartition("/")[2]


def folder_of(path: str) -> str:
    """Returns the folder of a path or URI."""
    return path.rstrip("/").rpartition("/")[0]


@functools.cache
def s3_client() -> fs.S3FileSystem:
    """Returns the client for `s3://` and `minio://`; its settings come from where AWS's own tools look."""
    # Named, so that buckets are addressed by path: PyArrow would make the bucket a part of the host's name.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(endpoint_override=endpoint)


@functools.cache
def _gcs_client() -> fs.GcsFileSystem:
    return fs.GcsFileSystem()


def file_system(path: str) -> tuple[fs.FileSystem, str]:
    """Returns the file system of a path or URI, and the path in it.

    Raises:
        DataError: no file system knows the scheme.
    """
    scheme, separator, rest = path.partition("://")
    if not separator:
        return fs.LocalFileSystem(), path
    if scheme in ("s3", "minio"):
        return s3_client(), rest.rstrip("/")
    if scheme == "gs":
        return _gcs_client(), rest.rstrip("/")
    try:
        return fs.FileSystem.from_uri(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: cannot be reached ({_first_line(error)}); take a path, gs:// or s3://") from None


def find_file(path: str) -> DataFile | None:
    """Returns the file at a path or URI; None where there is none."""
    system, inner = file_system(path)
    info = system.get_file_info(inner)
    return DataFile(path, info.size, info.mtime_ns or 0) if info.is_file else None


def fixed_part(path: str) -> str:
    """Returns the folder above the first mark of a pattern; the path itself where it has no marks."""
    parts = path.split("/")
    return "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), parts))


def list_files(path: str) -> list[DataFile]:
    """Returns the file at a path, the files below a folder, or those that a pattern matches, in order of their names.

    Names that begin with a dot or an underscore, and empty marks such as `_SUCCESS`, are left out.

    Args:
        path: path or URI of a file or a folder; where there is neither, a pattern with `*`, `**`, `?` and `[...]`.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    system, inner = file_system(path)
    prefix = path[: len(path.rstrip("/")) - len(inner)] if is_uri(path) else ""
    try:
        info = system.get_file_info(inner)
        if info.type == fs.FileType.NotFound and glob.has_magic(inner):
            matches = _matcher(inner)
            listed = [info for info in _below(system, fixed_part(inner) or "/") if matches(info.path)]
        elif info.type == fs.FileType.Directory:
            listed = [child for child in _below(system, inner) if _is_data(child.path[len(inner) :])]
        else:
            listed = [info] if info.type != fs.FileType.NotFound else []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({_first_line(error)})") from None
    files = [DataFile(prefix + info.path, info.size, info.mtime_ns or 0) for info in listed if info.is_file]
    if not files and info.type == fs.FileType.NotFound:
        raise DataError(
            f"{path}: no such file or folder; --data takes a folder, a pattern of names, a zip, or a file of "
            "interactions as CSV, JSON Lines or Parquet"
        )
    return sorted(files, key=lambda file: file.path)


def _below(system: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    found: list[fs.FileInfo] = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    return found


def _is_data(path: str) -> bool:
    return not any(part.startswith((".", "_")) for part in path.split("/"))


def _matcher(pattern: str) -> Any:
    # A `*` stays inside its folder, and `**` crosses folders.
    expression = "".join(
        {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part)
        or (part.replace("[!", "[^") if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    )
    return re.compile(expression).fullmatch


def read_bytes(path: str, most: int | None = None) -> bytes:
    """Returns the content of a file, decompressed; its first bytes where `most` is given.

    Raises:
        DataError: it cannot be read.
    """
    content = b""
    try:
        with open_stream(path) as stream:
            if most is None:
                return bytes(stream.read())
            while len(content) < most and (block := stream.read(min(most - len(content), 1 << 16))):
                content += block
    except (OSError, pa.ArrowException) as error:
        if not content:  # Of a file that was cut off, the first bytes can be read.
            raise DataError(f"{path}: cannot be read ({_first_line(error)})") from None
    return content


def open_stream(path: str) -> pa.NativeFile:
    """Returns a stream of the content of a file, decompressed by its suffix."""
    system, inner = file_system(path)
    return system.open_input_stream(inner, compression=COMPRESSIONS.get(os.path.splitext(path)[1].lower()))


def open_file(path: str) -> pa.NativeFile:
    """Returns a file that can be read from any place; not decompressed."""
    system, inner = file_system(path)
    return system.open_input_file(inner)


def fingerprint_of(files: list[DataFile]) -> tuple[str, str]:
    """Returns a hexadecimal SHA-256 that stands for the content of files, and of what it was made.

    Local files up to 8 GiB count by their content, so that a zip and its folder are the same data. Larger ones count by
    name, size and time of the last change; those in an object store by name, size and ETag.
    """
    digest = hashlib.sha256()
    if any(is_uri(file.path) for file in files):
        for file in files:
            digest.update(f"{file.path}\n{file.size}\n{_etag(file)}\n".encode())
        return digest.hexdigest(), "names, sizes and ETags"
    if sum(file.size for file in files) > MAX_HASHED_BYTES:
        for file in files:
            digest.update(f"{file.path}\n{file.size}\n{file.changed}\n".encode())
        return digest.hexdigest(), "names, sizes and times"
    for file in files:
        with open(file.path, "rb") as stream:
            digest.update(_digest(stream).encode())
    return digest.hexdigest(), "content"


def _etag(file: DataFile) -> str:
    system, inner = file_system(file.path)
    metadata = system.open_input_stream(inner).metadata() or {}
    etags = [value for key, value in metadata.items() if _text(key).lower() == "etag"]
    return _text(etags[0]) if etags else str(file.changed)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _digest(stream: Any) -> str:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def unpack(archive: Path, cache_dir: Path) -> Path:
    """Unpacks a zip into the cache, completely or not at all.

    Returns:
        The folder; one of the same content is used again.

    Raises:
        DataError: the zip is corrupt, or a member would land outside the folder.
    """
    with archive.open("rb") as stream:
        digest = _digest(stream)
    folder = cache_dir / f"{archive.stem}-{digest[:12]}"
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


def make_cache_dir(cache_dir: Path) -> None:
    """Makes the cache folder.

    Raises:
        DataError: it cannot be made or written.
    """
    reason = "no permission"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        if os.access(cache_dir, os.W_OK | os.X_OK):
            return
    except OSError as error:
        reason = error.strerror or str(error)
    raise DataError(f"{cache_dir}: the cache folder cannot be written ({reason}); choose another with --cache-dir")


@contextmanager
def opened_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Opens a zip whose members all stay inside the folder that they are unpacked to; its faults become one line."""
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
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{archive}: a corrupt zip ({error}); download it again") from None
    except Exception as error:
        # zlib.error has no public base class.
        if type(error).__name__ != "error":
            raise
        raise DataError(f"{archive}: a corrupt zip ({error}); download it again") from None


def local_copy(path: str, cache_dir: Path) -> Path:
    """Returns a local copy of a file in an object store, made anew: its content may have changed."""
    make_cache_dir(cache_dir)
    target = cache_dir / "remote" / hashlib.sha256(path.encode()).hexdigest()[:16] / base_name(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    system, inner = file_system(path)
    with system.open_input_stream(inner) as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
    return target


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
