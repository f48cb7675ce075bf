"""Make two extension modules of the TFX stack load on an older C library.

`ml-metadata` and `tensorflow-data-validation` ship Linux wheels built against glibc 2.39 alone. What their extension
modules need from it is six symbols that older libraries have under another name, or that are never called. This
program rewrites the entries of these symbols in place: the file keeps its size and layout, a second run finds nothing
left to do, and a machine whose glibc is new enough is left alone.

    python setup/mend_glibc.py .venv
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import sys
from pathlib import Path

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
    """Whether this machine's C library is a glibc older than the one that the wheels were built against."""
    library, version = platform.libc_ver()
    return library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) < WHEEL_GLIBC


def find_patches(path: Path) -> dict[int, bytes]:
    """Find the bytes to overwrite in a 64-bit little-endian ELF shared object.

    Returns:
        New bytes by file offset; empty where the module is mended already.

    Raises:
        ValueError: the older name of a symbol is not in the module's string table.
    """
    patches: dict[int, bytes] = {}
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        symbols = elf.get_section_by_name(".dynsym")
        strings = elf.get_section_by_name(".dynstr").data()
        versions = elf.get_section_by_name(".gnu.version")
        for index, symbol in enumerate(symbols.iter_symbols()):
            entry = symbols["sh_offset"] + index * symbols["sh_entsize"]
            if symbol.name in OLD_NAMES:
                # A name may start inside a longer one: `__isoc23_strtol` ends in `strtol`.
                name_at = strings.find(OLD_NAMES[symbol.name].encode() + b"\0")
                if name_at < 0:
                    raise ValueError(f"it has no string {OLD_NAMES[symbol.name]!r} to use for {symbol.name!r}")
                patches[entry] = struct.pack("<I", name_at)  # st_name
            elif symbol.name in NEVER_CALLED and symbol["st_info"]["bind"] != "STB_WEAK":
                patches[entry + 4] = WEAK_FUNCTION  # st_info
            else:
                continue
            patches[versions["sh_offset"] + index * versions["sh_entsize"]] = ANY_VERSION
        patches.update(_weaken_needs(elf, strings))
    return patches


def _weaken_needs(elf: ELFFile, strings: bytes) -> dict[int, bytes]:
    """Flag the needs of too new versions as weak, so that the loader does not refuse the module."""
    section = elf.get_section_by_name(".gnu.version_r")
    data, patches = section.data(), {}
    need_at = 0
    for _ in range(section["sh_info"]):
        _, count, _, aux, next_need = struct.unpack_from("<HHIII", data, need_at)
        aux_at = need_at + aux
        for _ in range(count):
            _, flags, _, name_at, next_aux = struct.unpack_from("<IHHII", data, aux_at)
            name = strings[name_at : strings.index(b"\0", name_at)].decode()
            if name in NEW_VERSIONS and not flags & WEAK_NEED:
                patches[section["sh_offset"] + aux_at + 4] = struct.pack("<H", flags | WEAK_NEED)
            aux_at += next_aux
        need_at += next_need
    return patches


def mend(path: Path) -> bool:
    """Mend one module. The file is replaced whole, so that an interruption never leaves half of it.

    Returns:
        Whether there was anything to mend.
    """
    patches = find_patches(path)
    if not patches:
        return False
    content = bytearray(path.read_bytes())
    for offset, new_bytes in patches.items():
        content[offset : offset + len(new_bytes)] = new_bytes
    mended = path.with_suffix(".mended")
    mended.write_bytes(content)
    shutil.copymode(path, mended)
    os.replace(mended, path)
    return True


def main(environment: Path) -> int:
    """Mend what an environment holds.

    Returns:
        The exit status: 1 where a module could not be mended, which one line on stderr tells.
    """
    if not glibc_is_older():
        return 0
    for module in MODULES:
        for path in sorted(environment.rglob(module)):
            try:
                mended = mend(path)
            except (ELFError, OSError, ValueError) as error:
                print(f"error: {path} cannot be mended for this C library: {error}", file=sys.stderr)
                return 1
            if mended:
                print(f"mended for this machine's C library: {module}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
