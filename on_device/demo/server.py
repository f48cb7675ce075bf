"""Serves the demo, and no other file, to this machine only."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from on_device.artifact import Artifact
from on_device.demo.site import INDEX, PAGE, Files, content_security_policy, make_files
from on_device.errors import ArtifactError

LOOPBACK = "127.0.0.1"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".tflite": "application/octet-stream",
    ".wasm": "application/wasm",
}
METHODS = ("GET", "HEAD")


@dataclass(frozen=True)
class Site:
    """The answers of the server.

    Attributes:
        files: by the path of their address, all that there are.
        headers: of every answer.
    """

    files: Files
    headers: dict[str, str]


def make_site(artifact: Artifact, runtime: Path) -> Site:
    """Returns the demo of a pushed model.

    Args:
        artifact: the pushed model.
        runtime: folder that holds LiteRT.js (`on_device.demo.runtime`).
    """
    files: Files = {f"/{name}": content for name, content in make_files(artifact, runtime).items()}
    files["/"] = files.pop(f"/{INDEX}")
    policy = content_security_policy((PAGE / INDEX).read_text(encoding="utf-8"))
    headers = {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        # Only a page that is isolated from others gets a clock of 5 µs; else it ticks in steps of 100 µs.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Site(files, headers)


class DemoServer(ThreadingHTTPServer):
    """Answers this machine only.

    Args:
        site: what may be served.
        port: to listen on, 0 for any that is free.

    Attributes:
        url: of the page.
        hosts: names under which the server may be asked for.

    Raises:
        ArtifactError: the port is taken or not allowed.
    """

    def __init__(self, site: Site, port: int = 0):
        self.site = site
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "from 0 to 65535"
            raise ArtifactError(f"port {port}: cannot be used ({reason}); --port 0 takes any free one") from None
        bound = self.server_address[1]
        self.url = f"http://{LOOPBACK}:{bound}/"
        names = {LOOPBACK, "localhost"}
        self.hosts = {f"{name}:{bound}" for name in names} | (names if bound == 80 else set())


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    server_version, sys_version = "demo", ""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command not in METHODS:
            self._answer(HTTPStatus.METHOD_NOT_ALLOWED, Allow=", ".join(METHODS))
            return False
        # Another site may give its own name this machine's address, to be let in as the same origin (DNS rebinding).
        names = self.headers.get_all("Host", [])
        if len(names) != 1 or names[0].lower() not in self.server.hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        return True

    def do_GET(self) -> None:
        # Looked up as it came, never decoded or joined: a path that is not in the table is nowhere.
        file = self.server.site.files.get(self.path)
        try:
            content = file.read_bytes() if isinstance(file, Path) else file
        except OSError:
            content = None
        if content is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, content, TYPES[Path(self.path).suffix or ".html"])

    do_HEAD = do_GET

    def _answer(
        self, status: HTTPStatus, content: bytes | None = None, kind: str = "text/plain; charset=utf-8", **more: str
    ) -> None:
        body = f"{status.value} {status.phrase}\n".encode() if content is None else content
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **self.server.site.headers, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who watches the terminal waits for the address, not for a log."""
