"""Checksums of artifacts, so that a damaged result is not used from the cache.

The checksums are stored next to the folder of the artifact in the format of coreutils, so that `sha256sum -c
NAME.sha256` in the parent folder checks them. All files are hashed, because sizes and times do not reveal damage by a
failing disk or a bad copy.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfx.dsl.io import fileio

from components import s3  # noqa: F401 - registers s3://
from data.files import file_digest

THREADS = 2  # Hashing releases Python's global lock.


def checksum_file(folder: Path) -> Path:
    """Returns the path of the checksums of an artifact's folder."""
    return folder.parent / f"{folder.name}.sha256"


def record(uri: str) -> None:
    """Writes the checksums of an artifact's folder, unless they exist; object stores have their own checksums."""
    if "://" in uri:
        return
    folder = Path(uri)
    path = checksum_file(folder)
    if path.exists() or not folder.is_dir():
        return
    text = "".join(f"{digest}  {name}\n" for name, digest in _digests(folder).items())
    staged = path.with_name(f".{path.name}")
    staged.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.replace(staged, path)


def damage(uri: str) -> str:
    """Returns the damage to a folder since its step wrote it, in one line; empty without damage or without checksums.

    Files that the step did not write, such as `.DS_Store`, are ignored. Object stores check their objects themselves,
    so a folder there counts as damaged only if it is missing.
    """
    if "://" in uri:
        return "" if fileio.exists(uri) else f"{uri} is missing"
    folder = Path(uri)
    path = checksum_file(folder)
    if not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    recorded = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    digests = _digests(folder) if folder.is_dir() else {}
    for name, digest in sorted(recorded.items()):
        if name not in digests:
            return f"{folder.parent / name} is missing"
        if digests[name] != digest:
            return f"{folder.parent / name} is not what the step wrote"
    return ""


def _digests(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file in a folder, by its path relative to the parent folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(THREADS) as threads:
        digests = threads.map(file_digest, paths)
        return {path.relative_to(folder.parent).as_posix(): digest for path, digest in zip(paths, digests, strict=True)}
