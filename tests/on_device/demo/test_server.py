"""The files that the server of the demo serves, and the requests that it refuses."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from on_device.artifact import open_artifact
from on_device.demo.server import DemoServer
from on_device.demo.site import CLIENT, PAGE
from on_device.errors import ArtifactError

Ask = Callable[..., http.client.HTTPResponse]


@pytest.fixture
def server(films: Path, fake_runtime: Path, serve: Callable[..., DemoServer]) -> DemoServer:
    (fake_runtime / "secret.txt").write_text("secret")
    return serve(films, fake_runtime)


@pytest.fixture
def ask(server: DemoServer) -> Ask:
    """Sends a request with the exact path, which clients would normalize; the response has its content in `body`."""

    def send(path: str, method: str = "GET", host: str | None = "", **headers: str) -> Any:
        port = server.server_address[1]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if host is not None:
            connection.putheader("Host", host or f"127.0.0.1:{port}")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response: Any = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    return send


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
        ("/model/items.json", "application/json"),
        ("/model/model.tflite", "application/octet-stream"),
        ("/runtime/@litertjs/core/dist/index.js", "text/javascript; charset=utf-8"),
        ("/runtime/@litertjs/core/wasm/litert_wasm_internal.wasm", "application/wasm"),
    ],
)
def test_files_have_their_content_types(ask: Ask, path: str, kind: str) -> None:
    response: Any = ask(path)
    assert (response.status, response.headers["Content-Type"]) == (200, kind)
    assert len(response.body) == int(response.headers["Content-Length"]) > 0


def test_a_file_is_served_unchanged(ask: Ask, films: Path) -> None:
    response: Any = ask("/model/model.tflite")
    assert response.body == (films / "model.tflite").read_bytes()


def test_every_file_of_the_page_is_served(ask: Ask) -> None:
    names = {path.name for path in PAGE.iterdir()} - {"index.html", "sw.js", "manifest.webmanifest"}
    names |= {f"client/{path.name}" for path in CLIENT.glob("*.js")}
    assert len(names) > 15 and all(ask(f"/{name}").status == 200 for name in names)


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/../../../../../../etc/passwd",
        "//etc/passwd",
        "/page/../../server.py",
        "/model/../../films/model.tflite",
        "/model/..%2f..%2fetc/passwd",
        "/%2e%2e/server.py",
        "/%2e%2e%2fserver.py",
        "/%252e%252e%252fserver.py",
        "/..%5cserver.py",
        "/..\\server.py",
        "/%c0%ae%c0%ae/server.py",
        "/model/model.tflite%00.json",
        "/./app.js",
        "/app.js/",
        "/app.js?x",
        "/APP.JS",
        "/model/",
        "/model",
        "/runtime/secret.txt",
        "/runtime/../secret.txt",
        "/runtime/@litertjs/core/package.json",
        "/index.html",
        "/sw.js",
        "/client/package.json",
        "/server.py",
        "*",
        "app.js",
        "file:///etc/passwd",
        "http://127.0.0.1/app.js",
    ],
)
def test_other_paths_are_not_found(ask: Ask, path: str) -> None:
    response: Any = ask(path)
    assert (response.status, response.body) == (404, b"404 File not found\n")


def test_a_deleted_file_is_not_found(ask: Ask, server: DemoServer) -> None:
    server.files["/gone.js"] = Path("/nowhere/gone.js")
    assert ask("/gone.js").status == 404


def test_the_server_works_after_its_working_directory_is_deleted(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert ask("/").status == 200


def test_head_returns_only_the_headers(ask: Ask) -> None:
    response: Any = ask("/app.js", "HEAD")
    assert (response.status, response.body) == (200, b"")
    assert int(response.headers["Content-Length"]) == (PAGE / "app.js").stat().st_size


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_not_implemented(ask: Ask, method: str) -> None:
    assert ask("/", method).status == 501


@pytest.mark.parametrize("host", [None, "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "[::1]"])
def test_requests_for_other_hosts_are_refused(ask: Ask, host: str | None) -> None:
    assert ask("/", host=host).status == 421


def test_a_request_with_two_hosts_is_refused(ask: Ask, server: DemoServer) -> None:
    assert ask("/", Host="evil.example").status == 421


def test_localhost_is_accepted_in_any_case(ask: Ask, server: DemoServer) -> None:
    port = server.server_address[1]
    assert ask("/", host=f"LocalHost:{port}").status == 200


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nothing", 404)])
def test_every_response_has_the_security_headers(ask: Ask, path: str, status: int) -> None:
    response = ask(path)
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert response.status == status
    assert (policy["default-src"], policy["connect-src"], policy["form-action"]) == ("'none'", "'self'", "'none'")
    assert re.fullmatch(r"'self' 'wasm-unsafe-eval' 'sha256-[\w+/]{43}='", policy["script-src"])
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_the_server_listens_only_on_loopback(server: DemoServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    # A server that listens on all addresses would respond at any address of 127.0.0.0/8.
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.server_address[1]), timeout=1):
        pass


def test_a_port_in_use_is_an_error(server: DemoServer, films: Path, fake_runtime: Path) -> None:
    port = server.server_address[1]
    with pytest.raises(ArtifactError, match=rf"port {port}: cannot be used \(Address already in use\); --port 0"):
        DemoServer(open_artifact(films), fake_runtime, port)
