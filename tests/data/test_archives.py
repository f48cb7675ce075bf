"""Zips: unpacked once, completely or not at all, and never outside their folder."""

from __future__ import annotations

import functools
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data.archives import make_cache_dir, unpack
from data.errors import DataError
from data.formats import open_dataset
from data.quick_check import quick_check
from tests.data.reading import read_all, rows_of


def test_a_zip_is_unpacked_once(shapes, write_zip, tmp_path) -> None:
    archive, cache = write_zip(shapes["ml-1m"], inside="ml-1m/"), tmp_path / "cache"
    folder = unpack(archive, cache)
    (folder / "mark").touch()
    assert unpack(archive, cache) == folder
    assert (folder / "mark").exists()
    assert list(cache.iterdir()) == [folder]
    assert folder.name.startswith("given-") and len(folder.name) == len("given-") + 12


@pytest.mark.parametrize(
    "name",
    ["../evil.txt", "/tmp/evil.txt", "a/../../evil.txt", "..\\evil.txt", "\\evil.txt", "C:\\evil.txt", "C:/evil"],
)
def test_a_path_outside_the_folder_is_refused(name: str, write_zip, tmp_path) -> None:
    archive = write_zip({"ratings.dat": "1::1::1::1\n", name: "evil"})
    for open_archive in (quick_check, functools.partial(open_dataset, cache_dir=tmp_path / "cache")):
        with pytest.raises(DataError, match=r"refused: .*would be unpacked outside its folder"):
            open_archive(archive)
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "evil.txt").exists()


def test_a_zip_with_a_link_is_refused(tmp_path) -> None:
    archive = tmp_path / "link.zip"
    with zipfile.ZipFile(archive, "w") as target:
        link = zipfile.ZipInfo("ratings.dat")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        target.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"'ratings\.dat' is a link"):
        open_dataset(archive, tmp_path / "cache")


def damage_content(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[60:64] = bytes(byte ^ 0xFF for byte in content[60:64])
    archive.write_bytes(content)


def damage_name(archive: Path) -> None:
    """Marks a name in the directory of the zip as UTF-8, and makes it invalid."""
    content = bytearray(archive.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 9] |= 0x08
    content[entry + 46] = 0xFF
    archive.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_content, damage_name])
def test_a_corrupt_zip_leaves_no_files(damage: Callable[[Path], None], shapes, write_zip, tmp_path) -> None:
    archive = write_zip(shapes["ml-1m"])
    damage(archive)
    with pytest.raises(DataError, match="a corrupt zip") as raised:
        open_dataset(archive, tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interruption_while_unpacking_leaves_no_files(shapes, write_zip, tmp_path, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    archive = write_zip(shapes["ml-1m"])
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(rows_of(read_all(open_dataset(archive, tmp_path / "cache")))) == 3


def test_the_error_for_a_full_disk_does_not_blame_the_zip(shapes, write_zip, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"cannot be unpacked .*No space left"):
        unpack(write_zip(shapes["ml-1m"]), tmp_path / "cache")


def test_the_error_for_a_cache_that_cannot_be_created_names_it(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/cache: the cache folder cannot be written .*--cache-dir"):
        make_cache_dir(tmp_path / "file" / "cache")


@pytest.mark.parametrize("share", [0.3, 0.8, 0.99])
def test_a_truncated_zip_is_refused(share: float, shapes, write_zip) -> None:
    archive = write_zip(shapes["ml-1m"])
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="download it again"):
        quick_check(archive)
