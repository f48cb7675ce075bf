"""The notebook of the tutorial runs, cell by cell, with the commands of the tutorial."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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
RUN_CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell()
for cell in json.load(sys.stdin):
    shell.run_cell(cell).raise_error()
"""


def code_cells() -> list[str]:
    """Returns the code cells of the notebook."""
    cells = json.loads((ROOT / "docs/tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", (ROOT / "docs/tutorial.md").read_text(encoding="utf-8"), re.DOTALL)
    _, *cells = code_cells()  # The first cell changes to the folder of the checkout.
    assert cells == [f"%%bash -e\n{command}" for command in commands] and len(cells) >= 9
    # A checkout without the files of earlier runs.
    for name in (*LINKED, *FILES):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    process = subprocess.run(
        [sys.executable, "-c", RUN_CELLS],
        # The environment of the tests is set up already.
        input=json.dumps([cell for cell in code_cells() if not cell.endswith("\nmake setup")]),
        cwd=tmp_path / "docs",
        env={**os.environ, "PYTHONPATH": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    for expected in ("data:\n  columns:", "blessed: Recall@10", "because of", "Refit     after the gate"):
        assert expected in process.stdout, expected
    assert (tmp_path / "serving_models/shop/1/model.tflite").is_file()
    assert (tmp_path / "output/shop/report.html").is_file() and (tmp_path / "site/sw.js").is_file()
