"""Patches two extension modules of TFX's dependencies so that they load with an older C library.

The only Linux wheels of `ml-metadata` and `tensorflow-data-validation` require glibc 2.39. Their extension modules use
six symbols from it that older libraries have under another name, or that are never called. This program rewrites the
entries of these symbols in place. The file keeps its size and layout, a second run changes nothing, and nothing is
patched on a machine with a newer glibc.

    python setup/patch_glibc.py .venv
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

WHEEL_GLIBC = (2, 39)
MODULES = ("metadata_store_extension.so", "tensorflow_data_validation_extension.so")
OLD_NAMES = {
    "__isoc23_strtol": "strtol",
    "__isoc23_strtoll": "strtoll",
    "__isoc23_strtoul": "strtoul",
    "__isoc23_strtoull": "strtoull",
    "__cxa_call_terminate": "abort",
}
NEVER_CALLED = {"_ZSt21ios_base_library_initv"}
NEW_VERSIONS = {"GLIBC_2.38", "GLIBCXX_3.4.32", "CXXABI_1.3.15"}

ANY_VERSION = struct.pack("<H", 1)  # VER_NDX_GLOBAL
WEAK_FUNCTION = bytes([2 << 4 | 2])  # STB_WEAK, STT_FUNC
WEAK_NEED = 2  # VER_FLG_WEAK


def glibc_is_older() -> bool:
    """Returns whether this machine's C library is an older glibc than the wheels require."""
    library, version = platform.libc_ver()
    return library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < WHEEL_GLIBC


def find_patches(path: Path) -> dict[int, bytes]:
    """Finds the bytes to overwrite in a 64-bit little-endian ELF shared object.

    Returns:
        New bytes by file offset; empty if the module is already patched.

    Raises:
        ValueError: a section is missing, or the older name of a symbol is not in the module's string table.
    """
    patches: dict[int, bytes] = {}
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        symbols = _section(elf, ".dynsym")
        strings = _section(elf, ".dynstr").data()
        versions = _section(elf, ".gnu.version")
        for index, symbol in enumerate(symbols.iter_symbols()):
            entry = symbols["sh_offset"] + index * symbols["sh_entsize"]
            if symbol.name in OLD_NAMES:
                # A name may be the end of a longer one: `__isoc23_strtol` ends in `strtol`.
                name_offset = strings.find(OLD_NAMES[symbol.name].encode() + b"\0")
                if name_offset < 0:
                    raise ValueError(f"no string {OLD_NAMES[symbol.name]!r} to replace {symbol.name!r}")
                patches[entry] = struct.pack("<I", name_offset)  # st_name
            elif symbol.name in NEVER_CALLED and symbol["st_info"]["bind"] != "STB_WEAK":
                patches[entry + 4] = WEAK_FUNCTION  # st_info
            else:
                continue
            patches[versions["sh_offset"] + index * versions["sh_entsize"]] = ANY_VERSION
        patches.update(_weaken_needs(elf, strings))
    return patches


def _section(elf: ELFFile, name: str) -> Any:
    section = elf.get_section_by_name(name)
    if section is None:
        raise ValueError(f"no section {name}")
    return section


def _weaken_needs(elf: ELFFile, strings: bytes) -> dict[int, bytes]:
    """Marks requirements of too new versions as weak, so that the loader accepts the module."""
    section = _section(elf, ".gnu.version_r")
    data, patches = section.data(), {}
    need_offset = 0
    for _ in range(section["sh_info"]):
        _, count, _, aux, next_need = struct.unpack_from("<HHIII", data, need_offset)
        aux_offset = need_offset + aux
        for _ in range(count):
            _, flags, _, name_offset, next_aux = struct.unpack_from("<IHHII", data, aux_offset)
            name = strings[name_offset : strings.index(b"\0", name_offset)].decode()
            if name in NEW_VERSIONS and not flags & WEAK_NEED:
                patches[section["sh_offset"] + aux_offset + 4] = struct.pack("<H", flags | WEAK_NEED)
            aux_offset += next_aux
        need_offset += next_need
    return patches


def patch(path: Path) -> bool:
    """Patches a module. The file is replaced atomically, so that an interruption leaves the old one.

    Returns:
        Whether there was anything to patch.
    """
    patches = find_patches(path)
    if not patches:
        return False
    content = bytearray(path.read_bytes())
    for offset, new_bytes in patches.items():
        content[offset : offset + len(new_bytes)] = new_bytes
    patched = path.with_suffix(".patched")
    patched.write_bytes(content)
    shutil.copymode(path, patched)
    os.replace(patched, path)
    return True


def main(environment: Path) -> int:
    """Patches the modules of an environment.

    Returns:
        The exit status: 1 if a module cannot be patched, after one line on stderr.
    """
    if not glibc_is_older():
        return 0
    for module in MODULES:
        for path in sorted(environment.rglob(module)):
            try:
                patched = patch(path)
            except (ELFError, OSError, ValueError) as error:
                print(f"error: {path} cannot be patched for this C library: {error}", file=sys.stderr)
                return 1
            if patched:
                print(f"patched for this machine's C library: {module}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
