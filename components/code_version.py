"""Versions of code, libraries and files, which are part of cache keys and of artifacts."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEP_PACKAGES = ("cluster", "components", "data", "lineage", "on_device", "pipeline", "report")


def step_version(step: str, root: Path = ROOT) -> str:
    """Returns the fingerprint of the code that determines the result of a step.

    It is a parameter of the step, so that the cache of ML Metadata does not return a result of other code.

    Args:
        step: name of the step's folder in `components/`.
        root: folder of the checkout.

    Returns:
        The first 16 hexadecimal digits of a SHA-256 over the step's modules, all modules of the project that they
        import, directly or indirectly, and the installed versions of the libraries that they import.
    """
    digest = hashlib.sha256()
    libraries: set[str] = set()
    for source in _sources(step, root, libraries):
        _add_source(digest, source, root)
    for library in sorted(libraries):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # The standard library has no version.
            digest.update(f"{library} {importlib.metadata.version(library)}\0".encode())
    return digest.hexdigest()[:16]


def _sources(step: str, root: Path, libraries: set[str]) -> list[Path]:
    """Returns the modules of the project that a step imports, sorted; adds the names of libraries to `libraries`."""
    to_read = sorted((root / "components" / step).rglob("*.py"))
    sources: set[Path] = set()
    while to_read:
        source = to_read.pop()
        if source in sources:
            continue
        sources.add(source)
        for name in _imported(source.read_bytes()):
            modules = _modules(name, root)
            to_read += modules
            if not modules and not (root / name.partition(".")[0]).is_dir():
                libraries.add(name.partition(".")[0].replace("_", "-"))
    return sorted(sources)


@functools.cache  # A run fingerprints a dozen steps, which share most modules.
def _imported(code: bytes) -> frozenset[str]:
    """Returns the dotted names that a module imports, also in functions; `from a import b` counts as `a.b`."""
    names: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(code)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not isinstance(node, ast.expr):  # Expressions, most of the nodes, contain no statements.
            nodes += ast.iter_child_nodes(node)
    return frozenset(names)


def _modules(name: str, root: Path) -> list[Path]:
    """Returns the files of the project that an import of a dotted name runs: of the module and of its packages."""
    parts = name.split(".")
    paths = [root.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    files = [candidate for path in paths for candidate in (path / "__init__.py", path.with_suffix(".py"))]
    return [file for file in files if file.is_file()]


def library_version(*names: str) -> str:
    """Returns the installed versions of the libraries that TFX's own steps use; a parameter of these steps."""
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def file_version(name: str, root: Path = ROOT) -> str:
    """Returns the first 16 hexadecimal digits of a file's SHA-256; a parameter of the steps that read the file."""
    return hashlib.sha256((root / name).read_bytes()).hexdigest()[:16]


def project_version(root: Path = ROOT) -> str:
    """Returns the fingerprint of all modules that steps run: the first 16 hexadecimal digits of a SHA-256.

    Files outside packages, such as scripts among a user's data, are ignored.
    """
    digest = hashlib.sha256()
    for package in STEP_PACKAGES:
        for source in sorted((root / package).rglob("*.py")):
            folders = [root / folder for folder in source.relative_to(root).parents][:-1]
            if all((folder / "__init__.py").is_file() for folder in folders):
                _add_source(digest, source, root)
    return digest.hexdigest()[:16]


def _add_source(digest: hashlib._Hash, source: Path, root: Path) -> None:
    """Adds the path and the content of a module to a digest."""
    digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")


def code_version() -> str:
    """Returns the git commit of the checkout, with `+changes` if files differ; `unknown` outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
