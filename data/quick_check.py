"""Checks data before slow steps start: it must exist and be complete, and its first rows must be readable."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from data.archives import opened_zip
from data.dataset import Dataset
from data.errors import DataError
from data.files import is_uri
from data.formats import SUFFIXES, open_dataset
from data.readers import HEAD_BYTES, read_head
from data.settings import DataSettings

MAX_MEMBERS = 64  # of a zip that are checked


def quick_check(path: str | Path, max_bad_rows: int = 0, settings: DataSettings | None = None) -> Dataset | None:
    """Checks data in well under a second.

    Args:
        path: path or URI of a folder, a pattern, a zip or a file.
        max_bad_rows: number of bad rows that the run allows; the first rows are checked only if it is 0.
        settings: the declared properties of the data.

    Returns:
        The dataset; None for a zip in an object store, which is checked after the download.

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


def _check_zip(archive: Path, max_bad_rows: int, settings: DataSettings | None) -> Dataset:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / archive.stem
        try:
            _copy_heads(archive, folder)
            dataset = open_dataset(folder, scratch, settings)
            _check_head(dataset, max_bad_rows)
        except DataError as error:
            # The user knows only the zip.
            raise DataError(str(error).replace(str(folder), str(archive))) from None
        return dataset


def _copy_heads(archive: Path, folder: Path) -> None:
    """Writes the first bytes of the members of a zip to a folder; Parquet files are copied in full."""
    folder.mkdir()
    with opened_zip(archive) as source:
        for member in source.infolist()[:MAX_MEMBERS]:
            target = folder / PurePosixPath(member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(member) as stream:
                target.write_bytes(stream.read(-1 if target.suffix.lower() in SUFFIXES["parquet"] else HEAD_BYTES))


def _check_head(dataset: Dataset, max_bad_rows: int) -> None:
    chunk = read_head(dataset.log)
    if not len(chunk) and not chunk.bad_rows:
        raise DataError(f"{dataset.log.files[0].name}: it contains no interactions")
    if chunk.bad_rows and not max_bad_rows:
        count = f" ({len(chunk.bad_rows):,} bad rows in the first rows)" if len(chunk.bad_rows) > 1 else ""
        raise DataError(f"{chunk.bad_rows[0].describe()}{count}; fix it, or skip up to N with --max-bad-rows N")
