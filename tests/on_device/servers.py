"""Runs servers of tests in threads."""

from __future__ import annotations

import contextlib
import functools
import socketserver
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextlib.contextmanager
def running(server: socketserver.BaseServer) -> Iterator[str]:
    """Runs a server until the end of the block, and returns its address without a slash at the end."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serving(folder: Path) -> contextlib.AbstractContextManager[str]:
    """Serves the files of a folder until the end of the block, and returns its address."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    return running(ThreadingHTTPServer(("127.0.0.1", 0), handler))
