"""The published datasets: their addresses and checksums, and substitutes for use without a connection."""

from __future__ import annotations

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

from rich.progress import wrap_file

from data.archives import make_cache_dir, opened_zip
from data.errors import DataError
from data.files import file_digest

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
TIMEOUT = 8.0  # seconds without a response
SAMPLE = Path(__file__).parent / "sample"

# The wheel of this recommendation library contains MovieLens 100K.
WHEEL = "recbole==1.2.1"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
WHEEL_FILES = ("ml-100k.inter", "ml-100k.item")


@dataclass(frozen=True)
class Published:
    """A published dataset.

    Attributes:
        name: name of the dataset.
        megabytes: approximate size of the zip.
        md5: hexadecimal MD5 of the zip; None for a dataset that changes: its `.md5` file then has the current one.
    """

    name: str
    megabytes: int
    md5: str | None

    @property
    def readme(self) -> str:
        """Returns the URL of the dataset's README, with the terms of use."""
        return f"{GROUPLENS}/{self.name}-README.{'txt' if self.name in ('ml-100k', 'ml-1m') else 'html'}"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Published("ml-100k", 5, "0e33842e24a9c977be4e0107933c0723"),
        Published("ml-latest-small", 1, None),
        Published("ml-1m", 6, "c4d9eecfca2ab87c1945afe126590906"),
        Published("ml-20m", 190, "cd245b17a1ae2cc31bb14903e1204af3"),
        Published("ml-25m", 250, "6b51fb2759a8657d3bfcbfc42b592ada"),
        Published("ml-32m", 239, "d472be332d4daa821edc399621853b57"),
    )
}


class Unreachable(Exception):
    """A source did not respond."""


def fetch(
    name: str,
    cache_dir: Path,
    say: Callable[[str], None] = print,
    grouplens: str = GROUPLENS,
    *,
    or_another: bool = False,
) -> Path:
    """Returns the path of a dataset's zip or folder, in the cache or downloaded from GroupLens.

    Args:
        name: one of DATASETS.
        cache_dir: folder in which downloads are kept; an interrupted one is resumed.
        say: receives a line about each substitute.
        grouplens: URL of the folder with the zips.
        or_another: whether other data may replace the dataset if GroupLens cannot be reached; false if the user named
            the dataset.

    Raises:
        DataError: GroupLens cannot be reached, or a download has a wrong checksum.
    """
    make_cache_dir(cache_dir)
    archive = cache_dir / f"{name}.zip"
    if archive.is_file():
        return archive
    try:
        download(DATASETS[name], archive, grouplens)
        return archive
    except Unreachable as error:
        reason = f"GroupLens cannot be reached ({error})"
    message = f"{name}: {reason}; download {grouplens}/{name}.zip elsewhere and pass the file"
    if name != "ml-100k" and not or_another:
        raise DataError(message)
    instead = "" if name == "ml-100k" else f" instead of {name}"
    say(f"{reason}: using MovieLens 100K from the package {WHEEL}{instead}")
    try:
        return _from_wheel(cache_dir)
    except Unreachable as error:
        if not or_another:
            raise DataError(f"{message}; the package index cannot be reached either ({error})") from None
        say(f"the package index cannot be reached either ({error}): using the synthetic sample, only fit for a trial")
    return SAMPLE


def download(dataset: Published, archive: Path, grouplens: str = GROUPLENS) -> None:
    """Downloads a zip with a progress bar and checks it; an interrupted download is resumed.

    Raises:
        Unreachable: the server did not respond, or the connection broke; the downloaded part is kept.
        DataError: the checksum is wrong; the download is removed.
    """
    part = archive.with_suffix(".part")
    url = f"{grouplens}/{dataset.name}.zip"
    md5 = dataset.md5 or _published_md5(f"{url}.md5")
    part_bytes = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={part_bytes}-"} if part_bytes else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            resumed = response.status == 206
            length = int(response.headers.get("Content-Length") or 0)
            total = length or dataset.megabytes * 1_000_000
            bar = wrap_file(response, total, description=f"downloading {dataset.name}", transient=True)
            with bar as source, part.open("ab" if resumed else "wb") as stream:
                shutil.copyfileobj(source, stream)
        if part.stat().st_size < length + (part_bytes if resumed else 0):
            raise OSError(f"the connection broke after {part.stat().st_size:,} bytes; run again to resume")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already complete.
            raise Unreachable(f"HTTP {error.code}") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError.
        raise Unreachable(str(getattr(error, "reason", error))) from None
    if file_digest(part, "md5") != md5:
        part.unlink()
        raise DataError(f"{url}: the download does not have the published md5 {md5}; try again")
    os.replace(part, archive)


def _published_md5(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            words = response.read(1024).decode("ascii", "replace").split()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(str(getattr(error, "reason", error))) from None
    md5 = next((word for word in words if re.fullmatch("[0-9a-fA-F]{32}", word)), None)
    if md5 is None:
        raise Unreachable(f"{url} contains no checksum")
    return md5.lower()


def _from_wheel(cache_dir: Path) -> Path:
    """Extracts MovieLens 100K from a wheel of the configured package index; the wheel is not installed."""
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
