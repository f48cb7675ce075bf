"""One self-contained page."""

from pathlib import Path


def write_runs(path: Path, where: str, runs: object) -> None: ...
def write_found(path: Path, where: str, what: str, found: object) -> None: ...
