"""The mend, on the very modules that need it: in place, the same size, and only once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
elffile = pytest.importorskip("elftools.elf.elffile")


@pytest.fixture(scope="module")
def mender() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mend_glibc", ROOT / "setup" / "mend_glibc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def module_file(mender) -> Path:
    found = [path for entry in sys.path if entry for path in Path(entry).glob(f"*/*/pywrap/{mender.MODULES[0]}")]
    found += [
        path for entry in sys.path if entry for path in Path(entry).glob(f"*/metadata_store/pywrap/{mender.MODULES[0]}")
    ]
    if not found or sys.platform != "linux":
        pytest.skip("no Linux extension module of ml-metadata here")
    return found[0]


def unmend(mender, content: bytearray) -> bytearray:
    """Take the weak flags off again, so that there is something to mend."""
    import io
    import struct

    elf = elffile.ELFFile(io.BytesIO(bytes(content)))
    section, strings = elf.get_section_by_name(".gnu.version_r"), elf.get_section_by_name(".dynstr").data()
    data, at = section.data(), 0
    for _ in range(section["sh_info"]):
        _, count, _, aux, following = struct.unpack_from("<HHIII", data, at)
        entry = at + aux
        for _ in range(count):
            _, flags, _, name_at, step = struct.unpack_from("<IHHII", data, entry)
            name = strings[name_at : strings.index(b"\0", name_at)].decode()
            if name in mender.NEW_VERSIONS:
                struct.pack_into("<H", content, section["sh_offset"] + entry + 4, flags & ~mender.WEAK_NEED)
            entry += step
        at += following
    return content


def test_mends_in_place_and_once(mender, module_file, tmp_path):
    broken = tmp_path / mender.MODULES[0]
    broken.write_bytes(unmend(mender, bytearray(module_file.read_bytes())))
    size = broken.stat().st_size
    assert mender.find_patches(broken)
    assert mender.mend(broken)
    assert broken.stat().st_size == size
    assert not mender.find_patches(broken)
    assert not mender.mend(broken)
    assert [path.name for path in tmp_path.iterdir()] == [broken.name]


def test_leaves_a_new_library_alone(mender, monkeypatch, tmp_path):
    monkeypatch.setattr(mender.platform, "libc_ver", lambda: ("glibc", "2.41"))
    assert not mender.glibc_is_older()
    monkeypatch.setattr(mender.platform, "libc_ver", lambda: ("glibc", "2.35"))
    assert mender.glibc_is_older()
    monkeypatch.setattr(mender.platform, "libc_ver", lambda: ("", ""))
    assert not mender.glibc_is_older()
