"""Broken updates are refused and keep the model in use; valid updates replace it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from on_device import ArtifactError, Recommender
from on_device.updates import current, update
from tests.conformance.generate import FOLDER, UPDATES
from tests.on_device.servers import serving


def fetch_changed(change: dict[str, Any]) -> Callable[[str], BinaryIO]:
    """Returns a function that opens the files of version 2, one of which is changed."""

    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            if not content:
                raise ConnectionResetError("Connection reset by peer")
            return content

    def fetch(address: str) -> BinaryIO:
        *_, version, name = address.split("/")
        if name == "latest":
            return io.BytesIO(b"2\n")
        assert version == "2"
        content = (FOLDER / name).read_bytes()
        if name != change.get("file"):
            return io.BytesIO(content)
        offset = change.get("at", 0)
        match change["change"]:
            case "flip":
                return io.BytesIO(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
            case "truncate":
                return io.BytesIO(content[:offset])
            case "interrupt":
                return Interrupted(content[:offset])
            case "set":
                return io.BytesIO(json.dumps({**json.loads(content), change["key"]: change["value"]}).encode())
        raise FileNotFoundError(2, "no such file")

    return fetch


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with version 1 in use."""
    folder = tmp_path / "models"
    shutil.copytree(FOLDER, folder / "1")
    (folder / "latest").write_text("1\n")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_broken_updates_change_nothing(installed: Path) -> None:
    changes = json.loads(UPDATES.read_text(encoding="utf-8"))
    assert len(changes) >= 100
    before = files(installed)
    for change in changes:
        with pytest.raises(ArtifactError) as raised:
            update("https://models.example/films", installed, fetch_changed(change))
        assert "\n" not in str(raised.value), change
        assert files(installed) == before and current(installed) == installed / "1", change
    assert Recommender.load(installed).recommend([], 1)[0].id == "1002"


def test_a_valid_update_replaces_the_model_in_use(installed: Path) -> None:
    assert update("https://models.example/films/", installed, fetch_changed({})) == installed / "2"
    assert current(installed) == installed / "2" and (installed / "1").is_dir()
    assert update("https://models.example/films/", installed, fetch_changed({})) is None
    (installed / "latest").write_text("1\n")
    shutil.copytree(installed / "1", installed / "0")
    for name in (".staging-killed", "userdata", ".git"):
        (installed / name).mkdir()
    assert update("https://models.example/films/", installed, fetch_changed({})) == installed / "2"
    assert sorted(path.name for path in installed.iterdir()) == [".git", "1", "2", "latest", "userdata"]


@pytest.mark.parametrize("damaged", ["model.tflite", "items.json", "model_info.json"])
def test_a_damaged_version_in_use_is_downloaded_again(installed: Path, damaged: str) -> None:
    address = "https://models.example/films"
    update(address, installed, fetch_changed({}))
    (installed / "2" / damaged).write_bytes(b"{}")
    assert update(address, installed, fetch_changed({})) == installed / "2"
    assert update(address, installed, fetch_changed({})) is None
    assert sorted(path.name for path in installed.iterdir()) == ["1", "2", "latest"]


@pytest.mark.parametrize("latest", [b"\xff", b"1" * 300])
def test_a_damaged_latest_is_replaced(installed: Path, latest: bytes) -> None:
    (installed / "latest").write_bytes(latest)
    assert current(installed) is None
    assert update("https://models.example/films", installed, fetch_changed({})) == installed / "2"
    assert current(installed) == installed / "2"


def test_an_unreadable_version_is_not_in_use(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    assert current(installed) is None


def test_versions_of_the_pusher_are_not_deleted(installed: Path) -> None:
    (installed / ".lock").touch()
    before = files(installed)
    with pytest.raises(ArtifactError, match="the Pusher's folder, whose versions stay; choose another folder"):
        update("https://models.example/films", installed, fetch_changed({}))
    assert files(installed) == before


def test_the_first_update_downloads_a_version_over_http(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "served" / "7")
    (tmp_path / "served" / "latest").write_text("7\n")
    with serving(tmp_path / "served") as address:
        assert current(tmp_path / "models") is None
        assert update(address, tmp_path / "models") == tmp_path / "models" / "7"
        with pytest.raises(ArtifactError, match=r"/films/latest: the server responds 404 "):
            update(f"{address}/films", tmp_path / "models")
    with pytest.raises(ArtifactError, match=r"/latest: cannot be downloaded \(.*Connection refused"):
        update(address, tmp_path / "models")
    with pytest.raises(ArtifactError, match="not an http or https address"):
        update("ftp://models.example", tmp_path / "models")
    assert Recommender.load(tmp_path / "models").recommend([], 1)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"file.*: cannot be written \("):
        update("https://models.example/films", tmp_path / "file" / "models", fetch_changed({}))


@pytest.mark.parametrize("latest", ["../1", "", "a/b", "1 2"])
def test_an_invalid_latest_version_is_an_error(latest: str, installed: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a version"):
        update("https://models.example/films", installed, lambda address: io.BytesIO(latest.encode()))
    assert current(installed) == installed / "1"
