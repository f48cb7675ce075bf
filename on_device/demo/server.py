"""Serves the demo to this machine: the page, the runtime and one pushed model, and not a file more."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from on_device.artifact import INFO, ITEMS, MODEL, Artifact
from on_device.demo.runtime import packages, runtime_files
from on_device.errors import ArtifactError

LOOPBACK = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
PAGE_FILES = (
    INDEX,
    "answers.js",
    "app.js",
    "artifact.js",
    "browse.js",
    "catalogue.js",
    "entry.js",
    "favicon.svg",
    "latency.js",
    "model.js",
    "moving.js",
    "picks.js",
    "style.css",
    "traffic.js",
)
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
    """What may be served.

    Attributes:
        files: by the path of their address, all that there is.
        headers: of every answer.
    """

    files: dict[str, Path]
    headers: dict[str, str]


def make_site(artifact: Artifact, runtime: Path) -> Site:
    """The demo of a pushed model.

    Args:
        artifact: the pushed model.
        runtime: folder that holds LiteRT.js (`on_device.demo.runtime`).
    """
    files = {f"/{name}": PAGE / name for name in PAGE_FILES}
    files["/"] = files.pop(f"/{INDEX}")
    files.update({f"/runtime/{file}": runtime / file for file in runtime_files(packages())})
    files.update({f"/model/{name}": artifact.folder / name for name in (MODEL, ITEMS, INFO)})
    headers = {
        "Content-Security-Policy": _content_security_policy((PAGE / INDEX).read_text(encoding="utf-8")),
        # Only a page that is isolated from others gets a clock of 5 µs; else it ticks in steps of 100 µs.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Site(files, headers)


def _content_security_policy(page: str) -> str:
    """Lets the page talk to this server alone: whatever runs in it, the browser refuses to send anything elsewhere.

    An import map cannot be a file of its own, so the one in the page is allowed by its hash.
    """
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


class DemoServer(ThreadingHTTPServer):
    """Answers this machine alone.

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
        path = self.server.site.files.get(self.path)
        try:
            content = path.read_bytes() if path else None
        except OSError:
            content = None
        if path is None or content is None:
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, content, TYPES[path.suffix])

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
