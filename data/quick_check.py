"""Checks data before slow steps start: it must exist and be complete, and its first rows must be readable."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from data.archives import opened_zip
from data.dataset import Dataset
from data.errors import DataError
from data.files import COMPRESSIONS, base_name, is_data_path, is_uri
from data.formats import SUFFIXES, open_dataset
from data.readers import HEAD_BYTES, read_head
from data.settings import DataSettings

COMPRESSED_HEAD_BYTES = 1 << 18  # more than a block of zstd
MAX_MEMBERS = 64  # of a zip; with more that may belong to the data, it is not checked
# Suffixes of files that may belong to the data.
DATA_SUFFIXES = {".data", ".item", *COMPRESSIONS}.union(*SUFFIXES.values())


def quick_check(path: str | Path, max_bad_rows: int = 0, settings: DataSettings | None = None) -> Dataset | None:
    """Checks data in well under a second.

    Args:
        path: path or URI of a folder, a pattern, a zip or a file.
        max_bad_rows: number of bad rows that the run allows; the first rows are checked only if it is 0.
        settings: the declared properties of the data.

    Returns:
        The dataset; None for a zip in an object store or with many files, which are checked after they are unpacked.

    Raises:
        DataError: the data cannot be used.
    """
    path = str(path)
    try:
        if is_uri(path) and path.lower().endswith(".zip"):
            return None
        if not is_uri(path) and os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
            raise DataError(f"{path}: a pipe or a device, which can be read only once; save the data to a file")
        if not is_uri(path) and os.path.isfile(path) and zipfile.is_zipfile(path):
            return _check_zip(Path(path), max_bad_rows, settings)
        dataset = open_dataset(path, "", settings)
        _check_head(dataset, max_bad_rows)
        return dataset
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from None


def _check_zip(archive: Path, max_bad_rows: int, settings: DataSettings | None) -> Dataset | None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / archive.stem
        try:
            if not _copy_heads(archive, folder, settings or DataSettings()):
                return None
            dataset = open_dataset(folder, scratch, settings)
            _check_head(dataset, max_bad_rows)
        except DataError as error:
            # The user knows only the zip.
            raise DataError(str(error).replace(str(folder), str(archive))) from None
        return dataset


def _copy_heads(archive: Path, folder: Path, settings: DataSettings) -> bool:
    """Writes the first bytes of the members of a zip to a folder; Parquet files are copied in full.

    Returns:
        Whether the folder has all members that may belong to the data; if there are too many, nothing is written.
    """

    def is_data(member: zipfile.ZipInfo) -> bool:
        suffix = PurePosixPath(member.filename).suffix.lower()
        is_items = base_name(member.filename) == base_name(settings.items.path or "")
        return is_items or (suffix in DATA_SUFFIXES and is_data_path(member.filename))

    with opened_zip(archive) as source:
        members = sorted(source.infolist(), key=is_data, reverse=True)
        if len(members) > MAX_MEMBERS and is_data(members[MAX_MEMBERS]):
            return False
        folder.mkdir()
        for member in members[:MAX_MEMBERS]:
            target = folder / PurePosixPath(member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(member) as stream:
                target.write_bytes(stream.read(_head_size(target.suffix.lower())))
    return True


def _head_size(suffix: str) -> int:
    if suffix in SUFFIXES["parquet"]:
        return -1
    return COMPRESSED_HEAD_BYTES if suffix in COMPRESSIONS else HEAD_BYTES


def _check_head(dataset: Dataset, max_bad_rows: int) -> None:
    chunk = read_head(dataset.log)
    if not len(chunk) and not chunk.bad_rows:
        raise DataError(f"{dataset.log.files[0].name}: it contains no interactions")
    if chunk.bad_rows and not max_bad_rows:
        count = f" ({len(chunk.bad_rows):,} bad rows in the first rows)" if len(chunk.bad_rows) > 1 else ""
        raise DataError(f"{chunk.bad_rows[0].describe()}{count}; fix it, or skip up to N with --max-bad-rows N")
