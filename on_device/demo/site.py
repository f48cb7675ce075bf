"""The files of the demo: the page, the browser client, its runtime and a pushed model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from on_device.artifact import INFO, ITEMS, MODEL, Artifact
from on_device.demo.runtime import packages, runtime_files
from on_device.errors import ArtifactError

PAGE = Path(__file__).parent / "page"
CLIENT = Path(__file__).parents[1] / "web"
INDEX, WORKER, MANIFEST = "index.html", "sw.js", "manifest.webmanifest"
POLICY_PLACEHOLDER, OFFLINE_PLACEHOLDER = "<!-- policy -->", "<!-- offline -->"
WASM = ".wasm"

# The path or the content of each file, by its path in the site.
Files = dict[str, "Path | bytes"]


def make_files(artifact: Artifact, runtime: Path, offline: bool = False) -> Files:
    """Returns all files of the demo of a pushed model.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js (see `on_device.demo.runtime`).
        offline: Whether a service worker saves the page for offline use. `demo` serves the page without one, because
            all models that are served on the same port, one after another, share an address.
    """
    files: Files = {path.name: path for path in sorted(PAGE.iterdir())}
    files |= {f"client/{path.name}": path for path in sorted(CLIENT.glob("*.js"))}
    files |= {f"runtime/{file}": runtime / file for file in runtime_files(packages())}
    files |= {f"model/{name}": artifact.folder / name for name in (MODEL, ITEMS, INFO)}
    policy = links = ""
    if offline:
        # Static hosts do not send our headers. The server of `demo` does: two policies would report errors twice.
        policy = f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy()}">'
        links = f'<link rel="manifest" href="{MANIFEST}">\n    <meta name="offline" content="{WORKER}">'
    page = (PAGE / INDEX).read_text(encoding="utf-8")
    files[INDEX] = page.replace(POLICY_PLACEHOLDER, policy).replace(OFFLINE_PLACEHOLDER, links).encode()
    if offline:
        files[WORKER] = _service_worker(files)
    else:
        del files[WORKER], files[MANIFEST]
    return files


def read(file: Path | bytes) -> bytes:
    """Returns the content of an entry of `Files`."""
    return file.read_bytes() if isinstance(file, Path) else file


def content_security_policy() -> str:
    """Returns the policy of the page, which may connect only to its own server and run only its own code.

    An import map cannot be a separate file, so the policy allows the page's import map by its hash.
    """
    page = (PAGE / INDEX).read_text(encoding="utf-8")
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def export(artifact: Artifact, runtime: Path, folder: Path) -> dict[str, int]:
    """Writes the demo as a static site, either completely or not at all.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js.
        folder: Folder of the site: a new or empty folder, or an earlier export, which is replaced.

    Returns:
        The size of each file in bytes, by its path in the site.

    Raises:
        ArtifactError: The folder holds other files, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: is a file; name a folder for the site")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WORKER).is_file():
        raise ArtifactError(f"{folder}: holds files that are not an exported demo; name a new folder")
    contents = {name: read(file) for name, file in make_files(artifact, runtime, offline=True).items()}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            staging = Path(temporary) / folder.name
            for name, content in contents.items():
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).write_bytes(content)
            if folder.is_dir():
                shutil.rmtree(folder)
            staging.rename(folder)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error.strerror})") from None
    return {name: len(content) for name, content in contents.items()}


def _service_worker(files: Files) -> bytes:
    """Returns the service worker, with the list of files to cache and a version that changes with any file.

    The runtime has two builds of its WebAssembly, of which a browser needs one: the page adds that one to the cache.
    """
    cached = ["./", *(name for name in files if name not in (INDEX, WORKER) and "/wasm/" not in name)]
    digest = hashlib.sha256()
    for name, file in files.items():
        digest.update(f"{name} {hashlib.sha256(read(file)).hexdigest()}\n".encode())
    source = (PAGE / WORKER).read_text(encoding="utf-8")
    return source.replace("__VERSION__", digest.hexdigest()[:16]).replace("__FILES__", json.dumps(cached)).encode()
