"""The patch of modules that require a newer C library: in place, with the same size, and only once."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ELF modules are Linux's")

NEW_LIBRARY = """
long __isoc23_strtol(const char *text, char **end, int base) { return -1; }
void __cxa_call_terminate(void *exception) {}
void _ZSt21ios_base_library_initv(void) {}
"""
NEW_VERSIONS = """
GLIBC_2.38 { global: __isoc23_strtol; };
CXXABI_1.3.15 { global: __cxa_call_terminate; };
GLIBCXX_3.4.32 { global: _ZSt21ios_base_library_initv; };
"""
OLD_LIBRARY = "void unused(void) {}"
OLD_VERSIONS = "GLIBC_2.2 { global: unused; };"
MODULE = """
#include <stddef.h>
long __isoc23_strtol(const char *, char **, int);
void __cxa_call_terminate(void *);
void _ZSt21ios_base_library_initv(void);
void abort(void);
long parse(const char *text) { return __isoc23_strtol(text, NULL, 10); }
void terminate(int which) { which ? abort() : __cxa_call_terminate(NULL); }
void *never_called(void) { return (void *)_ZSt21ios_base_library_initv; }
"""


@pytest.fixture(scope="module")
def patcher() -> ModuleType:
    spec = importlib.util.spec_from_file_location("patch_glibc", ROOT / "setup" / "patch_glibc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_library(path: Path, source: str, *options: str) -> None:
    code = path.with_suffix(".c")
    code.write_text(source)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", path, code, *options], check=True)


@pytest.fixture
def module_file(patcher: ModuleType, tmp_path: Path) -> Path:
    """A module linked to a library with the new symbols, beside an old library without them, which the module loads."""
    if COMPILER is None:
        pytest.skip("no C compiler here")
    if sys.byteorder != "little" or sys.maxsize < 2**32:
        pytest.skip("only 64-bit little-endian modules are patched")
    versions = tmp_path / "versions"
    library, module = tmp_path / "libstandin.so", tmp_path / patcher.MODULES[0]
    versions.write_text(NEW_VERSIONS)
    compile_library(library, NEW_LIBRARY, f"-Wl,--version-script={versions}")
    compile_library(module, MODULE, f"-L{tmp_path}", "-lstandin", f"-Wl,-rpath,{tmp_path}")
    versions.write_text(OLD_VERSIONS)
    compile_library(library, OLD_LIBRARY, f"-Wl,--version-script={versions}")
    return module


def call(module: Path, expression: str) -> subprocess.CompletedProcess[str]:
    program = f"import ctypes; module = ctypes.CDLL({str(module)!r}); print({expression})"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_a_patched_module_loads_and_calls_the_older_symbols(patcher, module_file):
    before = call(module_file, "module.parse(b'42')")
    assert before.returncode == 1
    assert "not found" in before.stderr
    size = module_file.stat().st_size

    assert patcher.patch(module_file)
    assert module_file.stat().st_size == size
    assert call(module_file, "module.parse(b'42')").stdout == "42\n"
    assert call(module_file, "module.terminate(0)").returncode == -6, "SIGABRT, of abort"


def test_a_second_patch_changes_nothing(patcher, module_file):
    names = {path.name for path in module_file.parent.iterdir()}
    assert patcher.patch(module_file)
    content = module_file.read_bytes()
    assert patcher.find_patches(module_file) == {}
    assert not patcher.patch(module_file)
    assert module_file.read_bytes() == content
    assert {path.name for path in module_file.parent.iterdir()} == names


def test_a_hard_link_in_the_package_cache_does_not_change(patcher, module_file):
    cached = module_file.with_name("cached.so")
    cached.hardlink_to(module_file)
    content = cached.read_bytes()
    assert patcher.patch(module_file)
    assert cached.read_bytes() == content != module_file.read_bytes()


def test_the_modules_of_this_environment_are_patched(patcher):
    if not patcher.glibc_is_older():
        pytest.skip("this C library is new enough")
    packages = Path(importlib.util.find_spec("ml_metadata").origin).parents[1]
    for name in patcher.MODULES:
        (path,) = packages.rglob(name)
        assert patcher.find_patches(path) == {}, name


@pytest.mark.parametrize(
    ("library", "older"),
    [
        (("glibc", "2.35"), True),
        (("glibc", "2.38"), True),
        (("glibc", "2.39"), False),
        (("glibc", "2.41"), False),
        (("", ""), False),
    ],
)
def test_patches_only_for_an_older_glibc(patcher, monkeypatch, library, older):
    monkeypatch.setattr(patcher.platform, "libc_ver", lambda: library)
    assert patcher.glibc_is_older() == older


def test_a_module_that_cannot_be_patched_is_reported(patcher, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(patcher.platform, "libc_ver", lambda: ("glibc", "2.36"))
    (tmp_path / patcher.MODULES[0]).write_bytes(b"no module")
    assert patcher.main(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and patcher.MODULES[0] in line
