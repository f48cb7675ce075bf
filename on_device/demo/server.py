"""Serves the files of the demo, only to this machine."""

from __future__ import annotations

import functools
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from on_device.artifact import Artifact
from on_device.demo.site import INDEX, MANIFEST, WORKER, content_security_policy, make_files
from on_device.errors import ArtifactError

LOOPBACK = "127.0.0.1"


class DemoServer(ThreadingHTTPServer):
    """A server of the demo of a pushed model, which only this machine can reach.

    It serves the page without the service worker, because all models that are served on the same port, one after
    another, share an address.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js (see `on_device.demo.runtime`).
        port: Port to listen on, or 0 for any free port.

    Attributes:
        url: Address of the page.
        files: All files, by the path of their address.
        response_headers: Headers of every response.
        hosts: Values of the Host header that the server accepts.

    Raises:
        ArtifactError: The port is taken or not allowed.
    """

    def __init__(self, artifact: Artifact, runtime: Path, port: int = 0):
        files = make_files(artifact, runtime)
        self.files = {f"/{name}": path for name, path in files.items() if name not in (INDEX, WORKER, MANIFEST)}
        self.files["/"] = files[INDEX]
        self.response_headers = {
            "Content-Security-Policy": f"{content_security_policy()}; frame-ancestors 'none'",
            # The clock has a resolution of 5 µs on an isolated page, and of 100 µs on others.
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Embedder-Policy": "require-corp",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        try:
            super().__init__((LOOPBACK, port), functools.partial(_Handler, directory="/"))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not from 0 to 65535"
            raise ArtifactError(f"port {port}: cannot be used ({reason}); --port 0 takes any free one") from None
        bound_port = self.server_address[1]
        self.url = f"http://{LOOPBACK}:{bound_port}/"
        names = {LOOPBACK, "localhost"}
        self.hosts = {f"{name}:{bound_port}" for name in names} | (names if bound_port == 80 else set())


class _Handler(SimpleHTTPRequestHandler):
    server: DemoServer
    server_version, sys_version = "demo", ""
    error_message_format, error_content_type = "%(code)d %(message)s\n", "text/plain; charset=utf-8"
    extensions_map = {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".tflite": "application/octet-stream",
        ".wasm": "application/wasm",
    }

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        # Against DNS rebinding: another site could point its own name to this machine, to pass as the same origin.
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return False
        return True

    def translate_path(self, path: str) -> str:
        # The path is looked up as received, and never decoded or joined, so it cannot lead to any other file.
        return str(self.server.files.get(path, ""))

    def end_headers(self) -> None:
        for name, value in self.server.response_headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, so that the terminal shows only the address."""
