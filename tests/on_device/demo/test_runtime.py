"""LiteRT.js is downloaded from an npm registry, for which a local server stands in."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from on_device.demo.runtime import Package, find_runtime, packages, runtime_files
from on_device.errors import ArtifactError
from tests.on_device.servers import serving

FILES = {"package/dist/index.js": b"export {}", "package/README.md": b"not needed"}


def _archive(files: dict[str, bytes | str]) -> bytes:
    """Returns the archive of a package; a str is the target of a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _package(archive: bytes) -> Package:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    return Package("@films/core", "1.2.3", integrity, ("dist/index.js",))


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder of the registry."""
    folder = tmp_path / "registry"
    (folder / "@films/core/-").mkdir(parents=True)
    return folder


@pytest.fixture
def environment(registry: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serving(registry) as address:
        yield {"npm_config_registry": f"{address}/", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def _publish(registry: Path, archive: bytes, version: str = "1.2.3") -> Package:
    (registry / f"@films/core/-/core-{version}.tgz").write_bytes(archive)
    return replace(_package(archive), version=version)


def test_the_runtime_is_downloaded_once(registry: Path, environment: dict[str, str], tmp_path: Path) -> None:
    package = _publish(registry, _archive(FILES))
    folder = find_runtime(None, (package,), environment)
    assert folder.parent == tmp_path / "cache" / "on-device-recommender"
    assert [path.read_bytes() for path in folder.rglob("*") if path.is_file()] == [b"export {}"]
    assert (folder / "@films/core/dist/index.js").is_file()
    shutil.rmtree(registry)
    assert find_runtime(None, (package,), environment) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_an_incomplete_cache_is_completed(registry: Path, environment: dict[str, str]) -> None:
    package = _publish(registry, _archive(FILES))
    file = find_runtime(None, (package,), environment) / "@films/core/dist/index.js"
    file.unlink()
    find_runtime(None, (package,), environment)
    assert file.is_file()


def test_another_version_has_another_folder(registry: Path, environment: dict[str, str]) -> None:
    package = _publish(registry, _archive(FILES))
    later = _publish(registry, _archive(FILES), "1.2.4")
    assert find_runtime(None, (package,), environment) != find_runtime(None, (later,), environment)


@pytest.mark.parametrize("sent", [b"", b"something else", _archive(FILES)[:-9], _archive({**FILES, "package/x": b""})])
def test_an_archive_with_another_checksum_is_an_error(
    registry: Path, environment: dict[str, str], tmp_path: Path, sent: bytes
) -> None:
    _publish(registry, sent)
    with pytest.raises(ArtifactError, match=r"core-1\.2\.3\.tgz: not the archive that is pinned, .* try again"):
        find_runtime(None, (_package(_archive(FILES)),), environment)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "evil",
    [
        {"package/../../../escaped": b"x", **FILES},
        {"/tmp/escaped": b"x", **FILES},
        {"package/dist": "/tmp", **FILES},
    ],
)
def test_paths_outside_the_package_are_never_written(
    registry: Path, environment: dict[str, str], tmp_path: Path, evil: dict[str, bytes | str]
) -> None:
    folder = find_runtime(None, (_publish(registry, _archive(evil)),), environment)
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == [
        "@films/core/dist/index.js"
    ]
    assert not [path for path in tmp_path.rglob("escaped")]
    assert not Path("/tmp/escaped").exists()


def test_a_registry_without_the_package_is_an_error(environment: dict[str, str]) -> None:
    with pytest.raises(ArtifactError, match=r"core-1\.2\.3\.tgz: cannot be downloaded \(File not found\); connect"):
        find_runtime(None, (_package(b""),), environment)


def test_an_unreachable_registry_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # Bound, but not listening.
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {"NPM_CONFIG_REGISTRY": url, "XDG_CACHE_HOME": str(tmp_path)}
        with pytest.raises(ArtifactError) as raised:
            find_runtime(None, None, environment)
    message = str(raised.value)
    assert message.startswith(f"{url}/@litertjs/core/-/core-2.5.3.tgz: cannot be downloaded (")
    assert "npm install @litertjs/core@2.5.3" in message and "--runtime node_modules" in message
    assert "\n" not in message


@pytest.mark.parametrize("address", ["file:///tmp", "registry.example", "ftp://registry.example"])
def test_an_invalid_registry_is_an_error(tmp_path: Path, address: str) -> None:
    with pytest.raises(ArtifactError, match=f"npm_config_registry: '{re.escape(address)}' is not"):
        find_runtime(None, None, {"npm_config_registry": address, "XDG_CACHE_HOME": str(tmp_path)})


def test_a_cache_that_cannot_be_written_is_an_error(
    registry: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    with pytest.raises(ArtifactError, match=r"cannot be written \(.*\); `npm install"):
        find_runtime(None, (_publish(registry, _archive(FILES)),), environment)


def test_a_given_folder_must_have_the_runtime_files(fake_runtime: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"@litertjs/core/dist/index.js: missing; `npm install @litertjs/core@"):
        find_runtime(tmp_path)
    assert find_runtime(fake_runtime, environment={}) == fake_runtime


def test_the_lock_file_pins_the_files_that_the_page_imports() -> None:
    for package in packages():
        kind, digest = package.integrity.split("-")
        assert (kind, len(base64.b64decode(digest))) == ("sha512", 64)
    assert packages()[0].url("https://r.example") == "https://r.example/@litertjs/core/-/core-2.5.3.tgz"
    names = [file for package in packages() for file in package.files]
    assert not [name for name in names if name.startswith("/") or ".." in name]
    page = (Path(__file__).parents[3] / "on_device/demo/page/index.html").read_text(encoding="utf-8")
    imports = json.loads(re.findall(r'type="importmap">(.*?)</script>', page, re.DOTALL)[0])["imports"]
    assert imports.pop("on-device-recommender-client") == "./client/index.js"
    assert {url.removeprefix("./runtime/") for url in imports.values()} <= set(runtime_files(packages()))
