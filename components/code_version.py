"""Which code made an artifact."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def step_version(step: str) -> str:
    """Fingerprint of the code of one step.

    It is part of the step's parameters, so that a result cached by ML Metadata is not taken for the work of new code.

    Args:
        step: name of the step's folder in `components/`.

    Returns:
        The first 16 hexadecimal digits of a SHA-256 over the step's sources and over what all steps share.
    """
    components = ROOT / "components"
    digest = hashlib.sha256()
    for source in [*sorted(components.glob("*.py")), *sorted((components / step).rglob("*.py"))]:
        digest.update(source.relative_to(ROOT).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def code_version() -> str:
    """The checkout's git commit, with `+changes` where files differ from it; `unknown` outside a checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
