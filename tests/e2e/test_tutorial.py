"""Every command of the tutorial runs, in its order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINKED = (
    ".venv",
    "benchmarks",
    "cluster",
    "components",
    "configs",
    "data",
    "lineage",
    "on_device",
    "pipeline",
    "report",
)
FILES = ("local_runner.py", "pyproject.toml")
LIMIT = 500  # seconds


def commands() -> list[str]:
    """The shell commands of the tutorial; set-up is that of the tests."""
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    found = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [command for command in found if command.strip() != "make setup"]


def test_every_command(tmp_path: Path) -> None:
    # A checkout without what runs have left in this one.
    for name in (*LINKED, *FILES):
        (tmp_path / name).symlink_to(ROOT / name)
    assert len(commands()) >= 8
    printed = ""
    for command in commands():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == 0, command + done.stdout[-2000:] + done.stderr[-2000:]
        printed += done.stdout
    for promise in ("data:\n  columns:", "blessed: Recall@10", "because of", "Refit     after the gate"):
        assert promise in printed, promise
    assert (tmp_path / "serving_models/shop/1/model.tflite").is_file()
    assert (tmp_path / "output/shop/report.html").is_file() and (tmp_path / "site/sw.js").is_file()
