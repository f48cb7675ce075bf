"""The reference pages are those that the code generates, and every setting has a description."""

from __future__ import annotations

import json
import re
import sys

import pytest

from pipeline import reference
from pipeline.config import PipelineConfig, load_config, read_assignments


def test_the_page_of_the_configuration_is_current() -> None:
    current = reference.configuration()
    advice = "run `python -m pipeline.reference`"
    assert reference.CONFIGURATION.read_text(encoding="utf-8") == current, advice


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other versions of argparse lay their help out otherwise")
def test_the_page_of_the_command_lines_is_current() -> None:
    current = reference.command_lines()
    assert reference.COMMAND_LINES.read_text(encoding="utf-8") == current, "run `python -m pipeline.reference`"


def test_the_notebook_is_the_tutorial() -> None:
    current = reference.notebook()
    assert reference.NOTEBOOK.read_text(encoding="utf-8") == current, "run `python -m pipeline.reference`"
    cells = json.loads(current)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    compile(code[0], "notebook", "exec")
    assert len(code) > 8 and all(cell.startswith("%%bash -e\n") for cell in code[1:])


def test_every_default_of_the_page_can_be_set() -> None:
    page = reference.configuration().replace("\\|", "|")
    rows = re.findall(r"^\| `([\w.]+\.\w+)` \| .* \| `(.+)` \| ", page, re.MULTILINE)
    values = read_assignments([f"{key}={default}" for key, default in rows])
    assert len(values) >= 80
    assert load_config(None, values) == PipelineConfig()


def test_every_setting_has_a_description() -> None:
    rows = [line for line in reference.configuration().splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []
