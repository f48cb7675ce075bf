"""The demo as a static site: in Chromium from a plain web server, and offline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from on_device.__main__ import main
from on_device.artifact import open_artifact
from on_device.demo.site import export
from on_device.recommender import Recommender
from tests.on_device.servers import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}
ANSWERS = "#answers .answer .title"


@pytest.fixture(scope="module")
def site(films: Path, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder and the address of an exported site in a folder of a plain web server."""
    root = tmp_path_factory.mktemp("www")
    folder = root / "films"
    export(open_artifact(films), runtime, folder)
    with serving(root) as address:
        yield folder, f"{address}/films/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_site_works_offline_after_the_first_visit(
    scheme: str, site: tuple[Path, str], films: Path, browser: Any
) -> None:
    errors: list[str] = []
    context = browser.new_context(**PHONE, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(site[1])
    page.wait_for_selector("#demo[aria-busy=false]")
    expect(page.locator("#offline-note")).to_be_visible()
    context.set_offline(True)
    started = time.perf_counter()
    page.goto(f"{site[1]}#picks=1003,1006")
    page.reload()
    page.wait_for_selector("#demo[aria-busy=false]")
    expect(page.locator(ANSWERS)).to_have_count(10)
    seconds = time.perf_counter() - started
    client = Recommender.load(films)
    titles = [title.get_attribute("title") for title in page.locator(ANSWERS).all()]
    assert titles == [item.title for item in client.recommend(["1003", "1006"])]
    assert seconds < 5  # The goal is 1 s on an idle machine; docs/embed.md has the measured time.
    print(f"first answer from the browser's cache: {seconds:.2f} s")
    assert errors == []
    context.close()


def test_the_page_contains_the_content_security_policy(site: tuple[Path, str]) -> None:
    page = (site[0] / "index.html").read_text(encoding="utf-8")
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert "connect-src 'self'" in page and "frame-ancestors" not in page


def test_the_worker_caches_all_files_but_the_webassembly(site: tuple[Path, str]) -> None:
    folder, _ = site
    worker = (folder / "sw.js").read_text(encoding="utf-8")
    cached = json.loads(worker.split("const FILES = ")[1].split(";\n")[0])
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(cached) == {"./"} | {
        name for name in files if name not in ("index.html", "sw.js") and "/wasm/" not in name
    }


def test_another_model_has_another_version(
    site: tuple[Path, str], rated_films: Path, runtime: Path, tmp_path: Path
) -> None:
    def version(folder: Path) -> str:
        return (folder / "sw.js").read_text(encoding="utf-8").split('const VERSION = "')[1].split('"')[0]

    export(open_artifact(rated_films), runtime, tmp_path / "rated")
    assert version(tmp_path / "rated") != version(site[0]) and len(version(site[0])) == 16


def test_export_replaces_only_an_earlier_export(
    films: Path, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "site"
    assert main(["export", str(folder), "--model", str(films)]) == 0
    assert "and once 9.4 MB of WebAssembly" in capsys.readouterr().out
    files = _files(folder)
    (folder / ".git").mkdir()
    for name in (".git/config", "CNAME", "model/notes.txt"):
        (folder / name).write_text("mine")
    (folder / "app.js").unlink()
    (folder / "index.html").write_text((folder / "index.html").read_text(encoding="utf-8") + "earlier")
    assert main(["export", str(folder), "--model", str(films)]) == 0
    assert _files(folder) == files | dict.fromkeys((".git/config", "CNAME", "model/notes.txt"), b"mine")
    (tmp_path / "mine").mkdir()
    for name in ("thesis.txt", "sw.js", "index.html"):
        (tmp_path / "mine" / name).touch()
    assert main(["export", str(tmp_path / "mine"), "--model", str(films)]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'mine'}: holds files that are not an exported demo; name a new folder\n"
    )
    assert main(["export", str(tmp_path / "mine" / "thesis.txt"), "--model", str(films)]) == 1
    assert "is a file; name a folder for the site" in capsys.readouterr().err
    assert set(_files(tmp_path / "mine").values()) == {b""}


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_export_fills_the_current_folder(films: Path, runtime: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["export", ".", "--model", str(films)]) == 0
        assert Path("index.html").is_file() and Path("model/model.tflite").is_file()


def test_an_export_that_fails_changes_nothing(films: Path, runtime: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    folder = tmp_path / "site"
    export(open_artifact(films), runtime, folder)
    (folder / "sw.js").unlink()
    (folder / "sw.js").mkdir()
    for path in (folder / "app.js", folder / "model/items.json"):
        path.write_text("earlier")
    files = _files(folder)
    assert main(["export", str(folder), "--model", str(films)]) == 1
    assert f"{folder}: cannot be written ({folder / 'sw.js'} is a folder)" in capsys.readouterr().err
    assert _files(folder) == files and not list(folder.glob(".staging-*"))
