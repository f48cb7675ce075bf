"""The files of the demo: the page, the browser client, its runtime and a pushed model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

from on_device.artifact import INFO, ITEMS, MODEL, Artifact
from on_device.demo.runtime import STAGING, packages, runtime_files, write_files
from on_device.errors import ArtifactError

PAGE = Path(__file__).parent / "page"
CLIENT = Path(__file__).parents[1] / "web"
INDEX, WORKER, MANIFEST = "index.html", "sw.js", "manifest.webmanifest"
PLACEHOLDER = "<!-- Tags of the export. -->"
OFFLINE = f'<meta name="offline" content="{WORKER}">'  # only in the page of an export
WASM = ".wasm"


def make_files(artifact: Artifact, runtime: Path) -> dict[str, Path]:
    """Returns all files of the demo of a pushed model, by their path in the site.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js (see `on_device.demo.runtime`).
    """
    files = {path.name: path for path in sorted(PAGE.iterdir())}
    files |= {f"client/{path.name}": path for path in sorted(CLIENT.glob("*.js"))}
    files |= {f"runtime/{file}": runtime / file for file in runtime_files(packages())}
    files |= {f"model/{name}": artifact.folder / name for name in (MODEL, ITEMS, INFO)}
    return files


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
    """Writes the demo as a static site with a service worker for offline use.

    The worker is written last: until then, browsers keep the earlier site in their cache.

    Args:
        artifact: The pushed model.
        runtime: Folder of LiteRT.js.
        folder: Folder of the site: a new or empty folder, or an earlier export, whose files are replaced. Files that
            are not the export's, such as `.git` and `CNAME`, stay, and so do files that only the earlier export has.

    Returns:
        The size of each file in bytes, by its path in the site.

    Raises:
        ArtifactError: The folder has files but no export, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: is a file; name a folder for the site")
    files = [] if not folder.is_dir() else [path for path in folder.iterdir() if not path.name.startswith(STAGING)]
    if files and not _is_export(folder):
        raise ArtifactError(f"{folder}: holds files that are not an exported demo; name a new folder")
    contents = {name: path.read_bytes() for name, path in make_files(artifact, runtime).items()}
    # Static hosts do not send our headers. The server of `demo` does: two policies would report errors twice.
    tags = f'''<meta http-equiv="Content-Security-Policy" content="{content_security_policy()}">
    <link rel="manifest" href="{MANIFEST}">
    {OFFLINE}'''
    contents[INDEX] = contents[INDEX].replace(PLACEHOLDER.encode(), tags.encode())
    contents[WORKER] = _service_worker(contents)
    in_order = sorted(contents, key=lambda name: ("/" not in name, name == WORKER))
    try:
        write_files(folder, {name: contents[name] for name in in_order})
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error.strerror})") from None
    return {name: len(content) for name, content in contents.items()}


def _is_export(folder: Path) -> bool:
    index = folder / INDEX
    return index.is_file() and OFFLINE.encode() in index.read_bytes()


def _service_worker(contents: dict[str, bytes]) -> bytes:
    """Returns the service worker, with the list of files to cache and a version that changes with any file.

    The runtime has two builds of its WebAssembly, of which a browser needs one: the page adds that one to the cache.
    """
    cached = ["./", *(name for name in contents if name not in (INDEX, WORKER) and "/wasm/" not in name)]
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    source = contents[WORKER].decode()
    return source.replace("__VERSION__", digest.hexdigest()[:16]).replace("__FILES__", json.dumps(cached)).encode()
