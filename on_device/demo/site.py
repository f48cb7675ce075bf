"""The files of the demo: the page, the browser client, its runtime and one pushed model."""

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
POLICY_PLACE, OFFLINE_PLACE = "<!-- policy -->", "<!-- offline -->"
WASM = ".wasm"

# The content of a file, or where it lies.
Files = dict[str, "Path | bytes"]


def make_files(artifact: Artifact, runtime: Path, offline: bool = False) -> Files:
    """Returns all files of the demo of a pushed model by their path in the site.

    Args:
        artifact: the pushed model.
        runtime: folder that holds LiteRT.js (`on_device.demo.runtime`).
        offline: whether a service worker keeps the page for times without a connection. The page of `demo` has none,
            since all models that are shown in turn on one port share an address.
    """
    files: Files = {path.name: path for path in sorted(PAGE.iterdir())}
    files |= {f"client/{path.name}": path for path in sorted(CLIENT.glob("*.js"))}
    files |= {f"runtime/{file}": runtime / file for file in runtime_files(packages())}
    files |= {f"model/{name}": artifact.folder / name for name in (MODEL, ITEMS, INFO)}
    page, worker = ((PAGE / name).read_text(encoding="utf-8") for name in (INDEX, WORKER))
    # Static hosts send no headers of ours; the server of `demo` does, and two policies would complain twice.
    policy = f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy(page)}">' if offline else ""
    kept = f'<link rel="manifest" href="{MANIFEST}">\n    <meta name="offline" content="{WORKER}">' if offline else ""
    files[INDEX] = page.replace(POLICY_PLACE, policy).replace(OFFLINE_PLACE, kept).encode()
    if offline:
        files[WORKER] = _worker(worker, files)
    else:
        del files[WORKER], files[MANIFEST]
    return files


def content_security_policy(page: str) -> str:
    """Returns the policy of a page: it may only talk to its own server, and run its own code.

    An import map cannot be a file of its own, so that the one in the page is allowed by its hash.
    """
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
    """Writes the demo as a static site, completely or not at all.

    Args:
        artifact: the pushed model.
        runtime: folder that holds LiteRT.js.
        folder: of the site; new, empty, or one of an earlier export, which is replaced.

    Returns:
        The size of each file in bytes, by its path in the site.

    Raises:
        ArtifactError: the folder holds something else, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder}: is a file; name a folder for the site")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / WORKER).is_file():
        raise ArtifactError(f"{folder}: holds files that are not an exported demo; name a new folder")
    files = make_files(artifact, runtime, offline=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name, content in files.items():
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).write_bytes(_content(content))
            staging.chmod(0o755)
            if folder.is_dir():
                shutil.rmtree(folder)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error.strerror})") from None
    return {name: len(_content(content)) for name, content in files.items()}


def _worker(source: str, files: Files) -> bytes:
    """Returns the service worker, with the files that it keeps at once and a version that changes with any file.

    The runtime has two builds of its program, of which a browser needs one; the page asks for that one.
    """
    kept = ["./", *(name for name in files if name not in (INDEX, WORKER) and "/wasm/" not in name)]
    digest = hashlib.sha256(source.encode())
    for name, content in files.items():
        digest.update(f"{name} {hashlib.sha256(_content(content)).hexdigest()}\n".encode() if name != WORKER else b"")
    text = source.replace("__VERSION__", digest.hexdigest()[:16]).replace("__FILES__", json.dumps(kept))
    return text.encode()


def _content(file: Path | bytes) -> bytes:
    return file.read_bytes() if isinstance(file, Path) else file
