"""Gets LiteRT.js, which runs the model in the browser: pinned npm packages, straight from the registry, without Node.

A runtime folder is laid out as `node_modules` is: `@litertjs/core/dist/index.js`. Only the files that the page needs
are kept, in a cache that all checkouts share.
"""

from __future__ import annotations

import base64
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
from on_device.errors import ArtifactError

LOCK = Path(__file__).parent / "runtime_lock.json"
REGISTRY = "https://registry.npmjs.org"
TIMEOUT = 30  # seconds without an answer
MOST_BYTES = 100_000_000  # of an archive; today's largest has 12 MB


@dataclass(frozen=True)
class Package:
    """A pinned npm package.

    Attributes:
        name: with its scope.
        version: the one that is pinned.
        integrity: what npm's own lock files say of its archive: `sha512-` and the digest in base64.
        files: those that the page needs.
    """

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]

    def url(self, registry: str) -> str:
        """Where a registry has the archive."""
        return f"{registry}/{self.name}/-/{self.name.split('/')[-1]}-{self.version}.tgz"


def packages(lock: Path = LOCK) -> tuple[Package, ...]:
    """What is pinned."""
    entries = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return tuple(Package(one["name"], one["version"], one["integrity"], tuple(one["files"])) for one in entries)


def runtime_files(pinned: tuple[Package, ...]) -> list[str]:
    """Their files, relative to a runtime folder."""
    return [f"{package.name}/{file}" for package in pinned for file in package.files]


def find_runtime(
    folder: Path | None = None,
    pinned: tuple[Package, ...] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Path:
    """A runtime folder: the given one, the cached one, or a new one from the registry.

    Args:
        folder: an unpacked copy, such as the `node_modules` of `npm install @litertjs/core`; None: the cache.
        pinned: packages, those of the lock file if None.
        environment: where XDG_CACHE_HOME and npm's own `npm_config_registry` are looked up.

    Raises:
        ArtifactError: `folder` lacks a file, or the registry cannot be reached or sends something else.
    """
    pinned = packages() if pinned is None else pinned
    if folder is not None:
        missing = _missing(folder, pinned)
        if missing:
            raise ArtifactError(f"{folder / missing[0]}: missing; {_by_hand(pinned)}")
        return folder
    cached = default_cache_dir(environment) / f"litert-js-{_fingerprint(pinned)}"
    if not cached.is_dir() or _missing(cached, pinned):
        _fill(cached, pinned, _registry(environment))
    return cached


def _missing(folder: Path, pinned: tuple[Package, ...]) -> list[str]:
    return [file for file in runtime_files(pinned) if not (folder / file).is_file()]


def _by_hand(pinned: tuple[Package, ...]) -> str:
    wanted = f"{pinned[0].name}@{pinned[0].version}"
    return f"`npm install {wanted}` makes a folder for --runtime node_modules"


def _fingerprint(pinned: tuple[Package, ...]) -> str:
    return hashlib.sha256(repr(pinned).encode()).hexdigest()[:12]


def _registry(environment: Mapping[str, str]) -> str:
    named = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY") or REGISTRY
    if urllib.parse.urlsplit(named).scheme not in ("http", "https"):
        raise ArtifactError(f"npm_config_registry: {named!r} is not an http or https address")
    return named.rstrip("/")


def _fill(folder: Path, pinned: tuple[Package, ...], registry: str) -> None:
    """Make a runtime folder; it appears complete or not at all, also where two processes make it at once."""
    contents: dict[str, bytes] = {}
    for package in pinned:
        url = package.url(registry)
        archive = _download(url, pinned)
        _check(archive, package, url)
        contents.update(_unpack(archive, package, url))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as temporary:
            made = Path(temporary) / folder.name
            for file, content in contents.items():
                (made / file).parent.mkdir(parents=True, exist_ok=True)
                (made / file).write_bytes(content)
            if _missing(folder, pinned):  # Else somebody was faster.
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    except OSError as error:
        if _missing(folder, pinned):
            raise ArtifactError(f"{folder}: cannot be written ({error.strerror}); {_by_hand(pinned)}") from None


def _download(url: str, pinned: tuple[Package, ...]) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return bytes(response.read(MOST_BYTES))
    except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError.
        reason = " ".join(str(getattr(error, "reason", None) or error).split())
        raise ArtifactError(
            f"{url}: cannot be fetched ({reason}); connect, name a mirror with npm_config_registry=URL, "
            f"or bring a copy: {_by_hand(pinned)}"
        ) from None


def _check(archive: bytes, package: Package, url: str) -> None:
    digest = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        raise ArtifactError(
            f"{url}: not the archive that is pinned, or a part of it ({len(archive):,} bytes); "
            f"try again, or another registry with npm_config_registry=URL"
        )


def _unpack(archive: bytes, package: Package, url: str) -> dict[str, bytes]:
    """The wanted files by their place in a runtime folder.

    Names of the archive are only compared, never used as paths: nothing in it can be written elsewhere.
    """
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            members = {member.name: member for member in tar if member.isreg()}
            for file in package.files:
                found = tar.extractfile(members[f"package/{file}"])
                assert found is not None  # It is a regular file.
                contents[f"{package.name}/{file}"] = found.read()
    except KeyError as missing:
        raise ArtifactError(f"{url}: has no file {missing}") from None
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ArtifactError(f"{url}: not a package's archive ({error})") from None
    return contents
