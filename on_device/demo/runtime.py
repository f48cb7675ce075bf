"""Downloads LiteRT.js, which runs the model in the browser, as pinned npm packages from the registry, without Node.

A runtime folder has the layout of `node_modules`: `@litertjs/core/dist/index.js`. It holds only the files that the page
needs, in a cache that all checkouts share.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from on_device.command_line import default_cache_dir
from on_device.errors import ArtifactError, reason

LOCK = Path(__file__).parent / "runtime_lock.json"
REGISTRY = "https://registry.npmjs.org"
TIMEOUT = 30  # seconds without a response
MAX_BYTES = 100_000_000  # of an archive; the largest has 12 MB
STAGING = ".staging-"  # prefix of the folder in which an export is written


@dataclass(frozen=True)
class Package:
    """A pinned npm package.

    Attributes:
        name: Name with the scope.
        version: Pinned version.
        integrity: Checksum of the archive, as in npm's lock files: `sha512-` and the digest in base64.
        files: Files that the page needs.
    """

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]

    def url(self, registry: str) -> str:
        """Returns the address of the archive in a registry."""
        return f"{registry}/{self.name}/-/{self.name.split('/')[-1]}-{self.version}.tgz"


def packages() -> tuple[Package, ...]:
    """Returns the packages of the lock file."""
    entries = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    return tuple(
        Package(entry["name"], entry["version"], entry["integrity"], tuple(entry["files"])) for entry in entries
    )


def runtime_files(pinned: tuple[Package, ...]) -> list[str]:
    """Returns the files of packages, relative to a runtime folder."""
    return [f"{package.name}/{file}" for package in pinned for file in package.files]


def find_runtime(
    folder: Path | None = None,
    pinned: tuple[Package, ...] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """Returns a runtime folder: the given folder, or the cached folder, which is downloaded if it is missing.

    Args:
        folder: A folder of unpacked packages, such as the `node_modules` of `npm install @litertjs/core`, or None for
            the cache.
        pinned: Packages, or None for those of the lock file.
        environment: Environment with XDG_CACHE_HOME and npm's `npm_config_registry`.

    Raises:
        ArtifactError: `folder` lacks a file, or the registry cannot be reached or sends another archive.
    """
    pinned = packages() if pinned is None else pinned
    if folder is not None:
        missing = _missing(folder, pinned)
        if missing:
            raise ArtifactError(f"{folder / missing[0]}: missing; {_npm_hint(pinned)}")
        return folder
    fingerprint = hashlib.sha256(repr(pinned).encode()).hexdigest()[:12]
    cached = default_cache_dir(environment) / f"litert-js-{fingerprint}"
    if _missing(cached, pinned):
        _fill(cached, pinned, _registry(environment))
    return cached


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files into a folder, in their order; they replace earlier files, and other files in the folder stay.

    All files are written beside the earlier ones first, so that an error while writing changes none. The folder itself
    is not replaced, because it may be the current folder of a shell, or a mount.

    Args:
        folder: The folder.
        contents: Content of each file, by its path in the folder.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{STAGING}*"):  # of a killed export
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=folder) as staging:
        staged = {folder / name: Path(staging) / str(number) for number, name in enumerate(contents)}
        for file, content in zip(staged.values(), contents.values(), strict=True):
            file.write_bytes(content)
        for path in staged:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path} is a folder")
        for path, file in staged.items():
            file.replace(path)


def _missing(folder: Path, pinned: tuple[Package, ...]) -> list[str]:
    return [file for file in runtime_files(pinned) if not (folder / file).is_file()]


def _npm_hint(pinned: tuple[Package, ...]) -> str:
    return f"`npm install {pinned[0].name}@{pinned[0].version}` makes a folder for --runtime node_modules"


def _registry(environment: Mapping[str, str]) -> str:
    registry = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY") or REGISTRY
    if urllib.parse.urlsplit(registry).scheme not in ("http", "https"):
        raise ArtifactError(f"npm_config_registry: {registry!r} is not an http or https address")
    return registry.rstrip("/")


def _fill(folder: Path, pinned: tuple[Package, ...], registry: str) -> None:
    """Fills a runtime folder. Two processes may fill it at the same time, because they write the same files."""
    contents: dict[str, bytes] = {}
    for package in pinned:
        contents.update(_unpack(_download(package, registry, _npm_hint(pinned)), package))
    try:
        write_files(folder, contents)
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be written ({error.strerror}); {_npm_hint(pinned)}") from None


def _download(package: Package, registry: str, hint: str) -> bytes:
    """Returns the archive that is pinned.

    Raises:
        ArtifactError: the archive cannot be downloaded, or it is not the pinned one.
    """
    url = package.url(registry)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            archive = bytes(response.read(MAX_BYTES))
    except (OSError, HTTPException, ValueError) as error:
        raise ArtifactError(
            f"{url}: cannot be downloaded ({reason(error)}); connect to the internet, name a mirror with "
            f"npm_config_registry=URL, or copy the files from elsewhere: {hint}"
        ) from None
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise ArtifactError(
            f"{url}: not the archive that is pinned, or incomplete ({len(archive):,} bytes); "
            f"try again, or use another registry with npm_config_registry=URL"
        )
    return archive


def _unpack(archive: bytes, package: Package) -> dict[str, bytes]:
    """Returns the package's files by their path in a runtime folder.

    Names in the archive are only compared and never used as paths, so the archive cannot write to other places.
    """
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for file in package.files:
            content = tar.extractfile(f"package/{file}")
            assert content is not None  # It is a regular file.
            contents[f"{package.name}/{file}"] = content.read()
    return contents
