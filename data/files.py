"""Files on this machine and in object stores, through PyArrow's file systems; fingerprints of their content."""

from __future__ import annotations

import functools
import glob
import hashlib
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import fs

from data.errors import DataError, UnreadableError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
# Above this size, reading all files for a checksum costs more than it is worth.
MAX_HASHED_BYTES = 8 << 30


@dataclass(frozen=True)
class DataFile:
    """A file of data.

    Attributes:
        path: absolute path or URI.
        size: in bytes.
        changed: time of the last change in ns since 1970; 0 if the store does not know it.
    """

    path: str
    size: int
    changed: int

    @property
    def name(self) -> str:
        """Returns the name of the file without its folder."""
        return base_name(self.path)

    @property
    def compression(self) -> str | None:
        """`gzip` or `zstd`, according to the suffix; None for any other file."""
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
    """Returns the client for `s3://` and `minio://`; its settings come from the same places as those of AWS tools."""
    # With an endpoint from the environment, PyArrow would make the bucket a part of the host name. With an explicit
    # endpoint it addresses buckets by path.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(endpoint_override=endpoint)


@functools.cache
def _gcs_client() -> fs.GcsFileSystem:
    return fs.GcsFileSystem()


def file_system(path: str) -> tuple[fs.FileSystem, str]:
    """Returns the file system of a path or URI, and the path in that file system.

    Raises:
        DataError: the scheme is unknown.
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
        raise DataError(f"{path}: cannot be reached ({first_line(error)}); use a path, gs:// or s3://") from None


def find_file(path: str) -> DataFile | None:
    """Returns the file at a path or URI; None if it does not exist."""
    system, inner = file_system(path)
    info = system.get_file_info(inner)
    return DataFile(path, info.size, info.mtime_ns or 0) if info.is_file else None


def fixed_part(path: str) -> str:
    """Returns the folder above the first wildcard of a pattern; a path without wildcards is returned unchanged."""
    return "/".join(itertools.takewhile(lambda part: not glob.has_magic(part), path.split("/")))


def list_files(path: str) -> list[DataFile]:
    """Returns the file at a path, the files below a folder, or the files that match a pattern, sorted by path.

    Below a folder, names that begin with a dot or an underscore, such as `_SUCCESS`, are left out.

    Args:
        path: path or URI of a file or a folder; if it does not exist, a pattern with `*`, `**`, `?` and `[...]`.

    Raises:
        DataError: the path does not exist, or cannot be read.
    """
    system, inner = file_system(path)
    prefix = path[: len(path.rstrip("/")) - len(inner)] if is_uri(path) else ""
    try:
        info = system.get_file_info(inner)
        if info.type == fs.FileType.NotFound and glob.has_magic(inner):
            matches = _matcher(inner)
            listed = [info for info in _below(system, fixed_part(inner) or "/") if matches(info.path)]
        elif info.type == fs.FileType.Directory:
            listed = [child for child in _below(system, inner) if is_data_path(child.path[len(inner) :])]
        else:
            listed = [info] if info.type != fs.FileType.NotFound else []
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({first_line(error)})") from None
    files = [DataFile(prefix + info.path, info.size, info.mtime_ns or 0) for info in listed if info.is_file]
    if not files and info.type == fs.FileType.NotFound:
        raise DataError(
            f"{path}: no such file or folder; --data takes a folder, a pattern of names, a zip, or a file of "
            "interactions in CSV, JSON Lines or Parquet"
        )
    return sorted(files, key=lambda file: file.path)


def _below(system: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    files: list[fs.FileInfo] = system.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
    return files


def is_data_path(path: str) -> bool:
    """Returns whether no part of a path begins with a dot or an underscore."""
    return not any(part.startswith((".", "_")) for part in path.split("/"))


def _matcher(pattern: str) -> Callable[[str], object]:
    """Returns a function that matches paths; `*` matches within a folder, and `**` across folders."""
    expression = "".join(
        {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part)
        or (part.replace("[!", "[^") if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    )
    return re.compile(expression).fullmatch


def read_bytes(path: str, most: int | None = None) -> bytes:
    """Returns the decompressed content of a file, or its first `most` bytes.

    Raises:
        UnreadableError: the file cannot be read.
    """
    content = b""
    try:
        with open_stream(path) as stream:
            if most is None:
                return bytes(stream.read())
            while len(content) < most and (block := stream.read(min(most - len(content), 1 << 16))):
                content += block
    except (OSError, pa.ArrowException) as error:
        if not content:  # The first bytes of a truncated file can be read.
            raise UnreadableError(f"{path}: cannot be read ({first_line(error)})") from None
    return content


def open_stream(path: str) -> pa.NativeFile:
    """Returns a stream of the content of a file, decompressed according to its suffix."""
    system, inner = file_system(path)
    return system.open_input_stream(inner, compression=COMPRESSIONS.get(os.path.splitext(path)[1].lower()))


def open_file(path: str) -> pa.NativeFile:
    """Returns a seekable file; its content is not decompressed."""
    system, inner = file_system(path)
    return system.open_input_file(inner)


def fingerprint_of(files: list[DataFile]) -> tuple[str, str]:
    """Returns a hexadecimal SHA-256 that identifies the content of files, and a phrase that names its inputs.

    The inputs are the contents of local files up to 8 GiB in total, so that a zip and its folder are the same data. For
    more local data they are names, sizes and times of the last change; for an object store names, sizes and ETags.
    """
    if any(is_uri(file.path) for file in files):
        covered = "names, sizes and ETags"
        parts = [f"{file.path}\n{file.size}\n{_etag(file)}\n" for file in files]
    elif sum(file.size for file in files) > MAX_HASHED_BYTES:
        covered = "names, sizes and times"
        parts = [f"{file.path}\n{file.size}\n{file.changed}\n" for file in files]
    else:
        covered = "content"
        parts = [file_digest(file.path) for file in files]
    return hashlib.sha256("".join(parts).encode()).hexdigest(), covered


def file_digest(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Returns the hexadecimal checksum of a local file."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _etag(file: DataFile) -> str:
    system, inner = file_system(file.path)
    metadata = system.open_input_stream(inner).metadata() or {}
    etags = [value for key, value in metadata.items() if _text(key).lower() == "etag"]
    return _text(etags[0]) if etags else str(file.changed)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or the name of its class."""
    return next(iter(str(error).splitlines()), type(error).__name__)
