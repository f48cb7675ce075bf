"""The published datasets: where they are, how they are checked, and what stands in where they cannot be had."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from data.errors import DataError
from data.files import make_cache_dir, opened_zip

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
TIMEOUT = 8.0  # seconds without an answer
BLOCK = 1 << 16
SAMPLE = Path(__file__).parent / "sample"

# MovieLens 100K travels inside the wheel of a recommendation library.
WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
WHEEL_FILES = ("ml-100k.inter", "ml-100k.item")


@dataclass(frozen=True)
class Published:
    """A dataset as published.

    Attributes:
        name: of the dataset.
        megabytes: size of the zip, about.
        md5: of the zip, hexadecimal; None where the dataset changes and its `.md5` file beside it counts.
        sha256: of the zip, hexadecimal, where it is known.
    """

    name: str
    megabytes: int
    md5: str | None
    sha256: str | None = None

    @property
    def readme(self) -> str:
        """Address of what its makers say of it, terms of use included."""
        return f"{GROUPLENS}/{self.name}-README.{'txt' if self.name in ('ml-100k', 'ml-1m') else 'html'}"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Published("ml-100k", 5, "0e33842e24a9c977be4e0107933c0723"),
        Published("ml-latest-small", 1, None),
        Published(
            "ml-1m",
            6,
            "c4d9eecfca2ab87c1945afe126590906",
            "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        ),
        Published("ml-20m", 190, "cd245b17a1ae2cc31bb14903e1204af3"),
        Published("ml-25m", 250, "6b51fb2759a8657d3bfcbfc42b592ada"),
        Published("ml-32m", 239, "d472be332d4daa821edc399621853b57"),
    )
}


@dataclass(frozen=True)
class Fetched:
    """Data on this machine.

    Attributes:
        path: of the zip or folder.
        name: what it is, which may be a stand-in.
    """

    path: Path
    name: str


class Unreachable(Exception):
    """A source did not answer."""


def fetch(
    name: str,
    cache_dir: Path,
    say: Callable[[str], None] = print,
    grouplens: str = GROUPLENS,
    *,
    or_another: bool = False,
) -> Fetched:
    """Gets a dataset from the cache or from GroupLens.

    Args:
        name: one of DATASETS.
        cache_dir: where downloads are kept; an interrupted one is taken up again.
        say: takes a line about each fall-back.
        grouplens: address of the folder with the zips.
        or_another: whether other data may stand in where GroupLens cannot be reached: nobody asked for this dataset.

    Raises:
        DataError: GroupLens cannot be reached, or a download does not have its checksum.
    """
    make_cache_dir(cache_dir)
    archive = cache_dir / f"{name}.zip"
    if archive.is_file():
        return Fetched(archive, name)
    try:
        download(DATASETS[name], archive, grouplens)
        return Fetched(archive, name)
    except Unreachable as error:
        reason = f"GroupLens cannot be reached ({error})"
    elsewhere = f"{name}: {reason}; get {grouplens}/{name}.zip elsewhere and name the file"
    if name != "ml-100k" and not or_another:
        raise DataError(elsewhere)
    say(
        f"{reason}: taking MovieLens 100K from the package {WHEEL}"
        + ("" if name == "ml-100k" else f" instead of {name}")
    )
    try:
        return Fetched(_from_wheel(cache_dir), "ml-100k")
    except Unreachable as error:
        if not or_another:
            raise DataError(f"{elsewhere}; nor the package index ({error})") from None
        say(f"the package index cannot be reached either ({error}): taking the synthetic sample, only good for a trial")
    return Fetched(SAMPLE, "sample")


def download(dataset: Published, archive: Path, grouplens: str = GROUPLENS) -> None:
    """Download a zip with a progress bar and check it; what an interruption left is taken up again.

    Raises:
        Unreachable: no answer, or the connection broke; what came so far is kept.
        DataError: the checksum differs; the download is removed.
    """
    part = archive.with_suffix(".part")
    url = f"{grouplens}/{dataset.name}.zip"
    md5 = dataset.md5 or _published_md5(f"{url}.md5")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = answer.status == 206
            length = int(answer.headers.get("Content-Length") or 0)
            with part.open("ab" if resumed else "wb") as stream:
                _copy(answer, stream, dataset.name, have if resumed else 0, length)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to download.
            raise Unreachable(f"HTTP {error.code}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError.
        raise Unreachable(str(getattr(error, "reason", error))) from None
    for algorithm, expected in (("md5", md5), ("sha256", dataset.sha256)):
        if expected and _checksum(part, algorithm) != expected:
            part.unlink()
            raise DataError(f"{url}: the download does not have the published {algorithm} {expected}; try again")
    os.replace(part, archive)


def _copy(source: object, target: object, name: str, have: int, length: int) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=have + length if length else None, completed=have)
        received = 0
        while block := source.read(BLOCK):  # type: ignore[attr-defined]
            target.write(block)  # type: ignore[attr-defined]
            received += len(block)
            bar.update(task, advance=len(block))
    if received < length:
        raise OSError(f"the connection broke after {have + received:,} bytes; run again to go on")


def _published_md5(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            words = answer.read(1024).decode("ascii", "replace").split()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(getattr(error, "reason", error))) from None
    md5 = next((word for word in words if re.fullmatch("[0-9a-fA-F]{32}", word)), None)
    if md5 is None:
        raise Unreachable(f"{url} holds no checksum")
    return md5.lower()


def _checksum(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _from_wheel(cache_dir: Path) -> Path:
    """MovieLens 100K out of a wheel of the configured package index; the wheel is not installed."""
    folder = cache_dir / "ml-100k-recbole"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--retries=1", "--dest", scratch, "--requirement", str(requirements)]
        index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
        if index:
            command += ["--index-url", index]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            reason = done.stderr.strip().splitlines()
            raise Unreachable(reason[-1] if reason else "pip found nothing")
        staged = Path(scratch) / "staged"
        staged.mkdir()
        with opened_zip(wheels[0]) as wheel:
            for name in WHEEL_FILES:
                with wheel.open(f"{WHEEL_FOLDER}/{name}") as source, (staged / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
        os.rename(staged, folder)
    return folder
