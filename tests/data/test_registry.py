"""Downloads, substitutes and the command line."""

from __future__ import annotations

import functools
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data import registry
from data.__main__ import main
from data.errors import DataError
from data.registry import DATASETS, SAMPLE, Published, Unreachable, download, fetch

NOBODY = "http://127.0.0.1:9"


class PlainHandler(http.server.SimpleHTTPRequestHandler):
    """Serves complete files and ignores ranges."""

    def log_message(self, *_: object) -> None:
        pass


class BreakingHandler(PlainHandler):
    """Serves half of a file, and the rest in answer to a range."""

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:] if start else content[: len(content) // 2])
        self.close_connection = True


@pytest.fixture
def served(tmp_path: Path, request) -> Iterator[tuple[str, Path]]:
    """The URL and the folder of a server."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(getattr(request, "param", PlainHandler), directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.fixture
def content(shapes, write_zip) -> bytes:
    return write_zip(shapes["ml-latest"], "source.zip").read_bytes()


@pytest.fixture
def no_wheel(monkeypatch) -> None:
    def refuse(_: Path) -> Path:
        raise Unreachable("no index")

    monkeypatch.setattr(registry, "_from_wheel", refuse)


def test_a_changing_dataset_is_checked_with_the_checksum_beside_it(served, content, tmp_path) -> None:
    address, folder = served
    (folder / "ml-latest-small.zip").write_bytes(content)
    (folder / "ml-latest-small.zip.md5").write_text(f"MD5 (ml-latest-small.zip) = {hashlib.md5(content).hexdigest()}\n")
    messages: list[str] = []
    path = fetch("ml-latest-small", tmp_path / "cache", messages.append, address, or_another=True)
    assert path.read_bytes() == content
    assert messages == []


def test_a_page_instead_of_a_checksum_is_refused(served, content, tmp_path, no_wheel) -> None:
    address, folder = served
    (folder / "ml-latest-small.zip").write_bytes(content)
    (folder / "ml-latest-small.zip.md5").write_text("<html>Please log in to the network</html>")
    messages: list[str] = []
    assert fetch("ml-latest-small", tmp_path / "cache", messages.append, address, or_another=True) == SAMPLE
    assert "contains no checksum" in messages[0]
    assert not (tmp_path / "cache" / "ml-latest-small.zip").exists()


def test_a_download_restarts_if_the_server_ignores_ranges(served, content, tmp_path) -> None:
    address, folder = served
    (folder / "toy.zip").write_bytes(content)
    (tmp_path / "toy.part").write_bytes(b"what came last time")
    download(Published("toy", 1, hashlib.md5(content).hexdigest()), tmp_path / "toy.zip", address)
    assert (tmp_path / "toy.zip").read_bytes() == content


@pytest.mark.parametrize("served", [BreakingHandler], indirect=True)
def test_an_interrupted_download_is_resumed(served, content, tmp_path) -> None:
    address, folder = served
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


def test_a_wrong_checksum_is_refused(served, content, tmp_path) -> None:
    address, folder = served
    (folder / "toy.zip").write_bytes(content)
    with pytest.raises(DataError, match="does not have the published md5"):
        download(Published("toy", 1, "0" * 32), tmp_path / "toy.zip", address)
    assert not list(tmp_path.glob("toy.*"))


def test_a_missing_file_is_unreachable(served, tmp_path) -> None:
    with pytest.raises(Unreachable, match="HTTP 404"):
        download(Published("toy", 1, "0" * 32), tmp_path / "toy.zip", served[0])
    assert not list(tmp_path.glob("toy.*"))


def test_a_server_that_does_not_speak_http_is_unreachable(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(Unreachable, match="SSH-2"):
            download(
                Published("toy", 1, "0" * 32), tmp_path / "toy.zip", f"http://127.0.0.1:{listener.getsockname()[1]}"
            )
        thread.join(5)


def test_substitutes_are_reported(tmp_path, no_wheel) -> None:
    messages: list[str] = []
    with pytest.raises(DataError, match=r"ml-1m: GroupLens cannot be reached .*ml-1m\.zip elsewhere"):
        fetch("ml-1m", tmp_path, messages.append, NOBODY)
    assert fetch("ml-1m", tmp_path, messages.append, NOBODY, or_another=True) == SAMPLE
    assert "GroupLens cannot be reached" in messages[0] and "MovieLens 100K" in messages[0]
    assert "synthetic sample" in messages[1]


def test_a_cached_download_needs_no_network(tmp_path) -> None:
    (tmp_path / "ml-1m.zip").touch()
    assert fetch("ml-1m", tmp_path, grouplens=NOBODY) == tmp_path / "ml-1m.zip"


@pytest.fixture
def fake_pip(monkeypatch, shapes) -> list[list[str]]:
    """Replaces pip by a function that writes the wheel; returns the commands, each with its requirements."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append([*command, Path(command[command.index("--requirement") + 1]).read_text(encoding="utf-8")])
        wheel = Path(command[command.index("--dest") + 1]) / "recbole-1.2.1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("recbole/__init__.py", "raise SystemExit")
            for name, content in shapes["recbole"].items():
                archive.writestr(f"recbole/dataset_example/ml-100k/{name}", content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    return commands


def test_movielens_100k_is_extracted_from_the_wheel(fake_pip, tmp_path) -> None:
    messages: list[str] = []
    folder = fetch("ml-1m", tmp_path, messages.append, NOBODY, or_another=True)
    assert sorted(path.name for path in folder.iterdir()) == ["ml-100k.inter", "ml-100k.item"]
    assert len(messages) == 1 and "using MovieLens 100K from the package recbole==1.2.1 instead of ml-1m" in messages[0]
    assert fetch("ml-1m", tmp_path, messages.append, NOBODY, or_another=True) == folder
    (command,) = fake_pip  # The second call finds it in the cache.
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(command)
    assert command[-1] == f"recbole==1.2.1 --hash=sha256:{registry.WHEEL_SHA256}\n"
    assert [path for path in tmp_path.iterdir() if path != folder] == []


def test_pip_uses_the_index_of_uv(fake_pip, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    fetch("ml-100k", tmp_path, lambda _: None, NOBODY)
    assert fake_pip[0][-3:-1] == ["--index-url", "http://127.0.0.1:9/simple"]


def test_the_error_of_pip_is_reported(monkeypatch, tmp_path) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(subprocess, "run", run)
    messages: list[str] = []
    assert fetch("ml-1m", tmp_path, messages.append, NOBODY, or_another=True) == SAMPLE
    assert "ERROR: No matching distribution found" in messages[1] and "WARNING" not in messages[1]
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_dataset_with_its_terms(capsys, tmp_path) -> None:
    (tmp_path / "ml-1m.zip").touch()
    assert main(["--list", "--cache", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DATASETS)
    assert [line.split()[0] for line in lines if " here " in line] == ["ml-1m"]
    assert all("-README." in line for line in lines)


def test_the_command_line_prints_the_path(served: tuple[str, Path], content: bytes, tmp_path, capsys) -> None:
    (tmp_path / "ml-32m.zip").write_bytes(content)
    assert main(["ml-32m", "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ml-32m.zip'}\n"


def test_a_cached_file_is_checked(tmp_path, capsys) -> None:
    (tmp_path / "ml-1m.zip").write_bytes(b"x")
    assert main(["ml-1m", "--cache", str(tmp_path)]) == 2
    message = f"error: {tmp_path / 'ml-1m.zip'}: not a zip file, or a truncated one; download it again\n"
    assert capsys.readouterr().err == message
