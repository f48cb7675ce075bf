"""A look at data before anything slow starts: is it there, is it whole, and can its first rows be read."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from data.errors import DataError
from data.formats import Dataset, open_dataset, opened_zip
from data.readers import read_head

HEAD_BYTES = 1 << 14
MAX_COPIED = 64  # members of a zip that are looked at


def quick_check(path: Path, max_bad_rows: int = 0) -> str:
    """Check data in well under a second.

    Args:
        path: a folder, zip or CSV file.
        max_bad_rows: how many bad rows the run allows; the first rows are judged only where it allows none.

    Returns:
        The dataset's name.

    Raises:
        DataError: it cannot be used.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise DataError(f"{path}: a pipe or a device, which can be read only once; save it to a file and name that")
        if path.is_file() and zipfile.is_zipfile(path):
            return _check_zip(path, max_bad_rows)
        dataset = open_dataset(path, "")
        _check_head(dataset, max_bad_rows)
        return dataset.name
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror})") from None


def _check_zip(archive: Path, max_bad_rows: int) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            dataset = open_dataset(_copy_heads(archive, Path(scratch)), scratch)
        except DataError as error:
            raise DataError(str(error).replace(scratch, str(archive))) from None  # A person knows the zip alone.
        _check_head(dataset, max_bad_rows)
    return archive.stem


def _copy_heads(archive: Path, scratch: Path) -> Path:
    """A folder like the zip's content, with the first bytes of every file."""
    with opened_zip(archive) as source:
        for member in source.infolist()[:MAX_COPIED]:
            target = scratch / PurePosixPath(member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with source.open(member) as stream:
                target.write_bytes(stream.read(HEAD_BYTES))
    return scratch


def _check_head(dataset: Dataset, max_bad_rows: int) -> None:
    with dataset.ratings.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    whole = len(head) == dataset.ratings.path.stat().st_size and len(head) < HEAD_BYTES
    chunk = read_head(dataset, head if whole else head[: head.rfind(b"\n") + 1])
    if not len(chunk.user) and not chunk.bad_rows:
        raise DataError(f"{dataset.ratings.path.name}: no ratings in it")
    if chunk.bad_rows and not max_bad_rows:
        more = f" ({len(chunk.bad_rows):,} bad rows at its start)" if len(chunk.bad_rows) > 1 else ""
        raise DataError(
            f"{chunk.bad_rows[0].describe(dataset.ratings)}{more}; mend it, or skip up to N with --max-bad-rows N"
        )
