"""Serves the files of the demo, only to this machine."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from on_device.artifact import Artifact
from on_device.demo.site import INDEX, Files, content_security_policy, make_files, read
from on_device.errors import ArtifactError

LOOPBACK = "127.0.0.1"
CONTENT_TYPES = {
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
    """The content of the server.

    Attributes:
        files: All files, by the path of their address.
        headers: Headers of every response.
    """

    files: Files
    headers: dict[str, str]


def make_site(artifact: Artifact, runtime: Path) -> Site:
    """Returns the demo of a pushed model.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js (see `on_device.demo.runtime`).
    """
    files: Files = {f"/{name}": file for name, file in make_files(artifact, runtime).items()}
    files["/"] = files.pop(f"/{INDEX}")
    headers = {
        "Content-Security-Policy": f"{content_security_policy()}; frame-ancestors 'none'",
        # The clock has a resolution of 5 µs on an isolated page, and of 100 µs on others.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Site(files, headers)


class DemoServer(ThreadingHTTPServer):
    """A server that only this machine can reach.

    Args:
        site: Content to serve.
        port: Port to listen on, or 0 for any free port.

    Attributes:
        url: Address of the page.
        hosts: Values of the Host header that the server accepts.

    Raises:
        ArtifactError: The port is taken or not allowed.
    """

    def __init__(self, site: Site, port: int = 0):
        self.site = site
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not from 0 to 65535"
            raise ArtifactError(f"port {port}: cannot be used ({reason}); --port 0 takes any free one") from None
        bound_port = self.server_address[1]
        self.url = f"http://{LOOPBACK}:{bound_port}/"
        names = {LOOPBACK, "localhost"}
        self.hosts = {f"{name}:{bound_port}" for name in names} | (names if bound_port == 80 else set())


class _Handler(BaseHTTPRequestHandler):
    server: DemoServer
    server_version, sys_version = "demo", ""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if self.command not in METHODS:
            self._respond(HTTPStatus.METHOD_NOT_ALLOWED, Allow=", ".join(METHODS))
            return False
        # Against DNS rebinding: another site could point its own name to this machine, to pass as the same origin.
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            self._respond(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        return True

    def do_GET(self) -> None:
        # The path is looked up as received, and never decoded or joined, so it cannot lead to any other file.
        try:
            content = read(self.server.site.files[self.path])
        except (KeyError, OSError):
            self._respond(HTTPStatus.NOT_FOUND)
        else:
            self._respond(HTTPStatus.OK, content, CONTENT_TYPES[Path(self.path).suffix or ".html"])

    do_HEAD = do_GET

    def _respond(
        self,
        status: HTTPStatus,
        content: bytes | None = None,
        content_type: str = "text/plain; charset=utf-8",
        **headers: str,
    ) -> None:
        body = f"{status.value} {status.phrase}\n".encode() if content is None else content
        self.send_response(status)
        headers |= {"Content-Type": content_type, "Content-Length": str(len(body)), **self.server.site.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, so that the terminal shows only the address."""
