"""Generates the reference pages from the code, and the notebook from the tutorial.

    .venv/bin/python -m pipeline.reference

`docs/configuration.md` comes from the docstrings of the settings classes, `docs/command_lines.md` from the parsers, and
`docs/tutorial.ipynb` from `docs/tutorial.md`, whose commands a test runs.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from components.trainer.settings import MemberSettings
from on_device.command_line import command_line
from pipeline.config import PipelineConfig, settings_of

ROOT = Path(__file__).parents[1]
CONFIGURATION, COMMAND_LINES = ROOT / "docs/configuration.md", ROOT / "docs/command_lines.md"
TUTORIAL, NOTEBOOK = ROOT / "docs/tutorial.md", ROOT / "docs/tutorial.ipynb"
ABOUT_CONFIGURATION = """# Configuration

Set these keys in a YAML file (`--config`, see `configs/`) or with `--set KEY=VALUE`. All keys have defaults. An unknown
key is an error. `python -m pipeline.reference` generates this page from the settings classes.
"""
ABOUT_COMMAND_LINES = """# Command lines

The `--help` of each program. `python -m pipeline.reference` generates this page from the parsers.
"""
COMMANDS = (
    "local_runner.py",
    "kubeflow_runner.py",
    *("-m on_device", "-m on_device recommend", "-m on_device similar", "-m on_device bench", "-m on_device demo"),
    "-m on_device export",
    *("-m lineage", "-m lineage runs", "-m lineage show", "-m lineage diff", "-m lineage prove"),
    "-m components.pusher",
    "-m data",
)
# The first cell of the notebook, which starts in the folder `docs`.
START = """import os

if not os.path.exists("local_runner.py"):
    os.chdir("..")
assert os.path.exists("local_runner.py"), "open this notebook in a checkout of the repository"
"""
WIDTH = "100"
MAX_DEFAULT = 60  # characters; a longer default is only in the class


@command_line
def main(arguments: list[str] | None = None) -> int:
    """Writes the pages and returns the exit code."""
    CONFIGURATION.write_text(configuration(), encoding="utf-8")
    COMMAND_LINES.write_text(command_lines(), encoding="utf-8")
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
    return 0


def configuration() -> str:
    """Returns the reference of the configuration, as Markdown."""
    parts = [ABOUT_CONFIGURATION, *_section("", PipelineConfig)]
    for name, field in PipelineConfig.model_fields.items():
        if name != "teacher" and (settings := settings_of(field.annotation)):
            parts += [f"\n## {name}\n", *_section(f"{name}.", settings)]
            if name == "trainer":
                parts += ["\n### An entry of trainer.members\n", *_section("", MemberSettings)]
    return "\n".join(parts) + "\n"


def _section(prefix: str, settings: type[BaseModel]) -> list[str]:
    """Returns a table of the settings of a class, including nested classes."""
    return ["| key | type | default | meaning |", "|---|---|---|---|", *_rows(prefix, settings)]


def _rows(prefix: str, settings: type[BaseModel]) -> list[str]:
    meanings = _meanings(settings)
    rows = []
    for name, field in settings.model_fields.items():
        nested = settings_of(field.annotation)
        is_section = nested is not None and settings is PipelineConfig
        meaning = re.sub(r"\bNone\b", "null", meanings.get(name, "")).replace("|", "\\|")
        kind = "section" if is_section else _type(field.annotation)
        default = "" if is_section else _default(field.get_default(call_default_factory=True))
        rows.append(f"| `{prefix}{name}` | {kind} | {default} | {meaning} |")
        if nested and not is_section and isinstance(field.default, BaseModel):
            rows += _rows(f"{prefix}{name}.", nested)
    return rows


def _meanings(settings: type[BaseModel]) -> dict[str, str]:
    """Returns the descriptions in the section `Attributes` of a class's docstring, by attribute."""
    text = inspect.cleandoc(settings.__doc__ or "")
    _, _, attributes = text.partition("Attributes:\n")
    meanings: dict[str, str] = {}
    for names, meaning in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8,}.*)*)", attributes, re.MULTILINE):
        for name in names.split(", "):
            meanings[name] = " ".join(meaning.split())
    return meanings


def _type(annotation: Any) -> str:
    origin, options = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(options[0])
    if origin is typing.Literal:
        return ", ".join(f"`{option}`" for option in options)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys("null" if option is type(None) else _type(option) for option in options))
    names = {
        tuple: "list",
        list: "list",
        dict: "mapping",
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
    }
    kind = origin or annotation
    if kind in names:
        return names[kind]
    return "mapping" if inspect.isclass(kind) and issubclass(kind, BaseModel) else getattr(kind, "__name__", str(kind))


def _default(value: Any) -> str:
    if value is None or value == "" or isinstance(value, BaseModel):
        return ""
    text = yaml.safe_dump(to_jsonable_python(value), default_flow_style=True, width=math.inf)
    text = text.removesuffix("...\n").strip().replace("|", "\\|")
    return f"`{text}`" if len(text) <= MAX_DEFAULT else "see its class"


def command_lines() -> str:
    """Returns the reference of the command lines, as Markdown.

    Raises:
        subprocess.CalledProcessError: a program fails.
    """
    parts = [ABOUT_COMMAND_LINES]
    environment = {**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1", "XDG_CACHE_HOME": "/home/you/.cache"}
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, *command.split(), "--help"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout.replace(str(ROOT), ".").rstrip()
        parts += [f"\n## {command.removeprefix('-m ')}\n", "```", f"$ .venv/bin/python {command} --help", text, "```"]
    return "\n".join(parts) + "\n"


def notebook() -> str:
    """Returns the tutorial as a Jupyter notebook with a cell for each block of commands."""
    cells = [_cell("code", START)]
    for part in re.split(r"(```sh\n.*?```)", TUTORIAL.read_text(encoding="utf-8"), flags=re.DOTALL):
        if part.startswith("```sh"):
            cells.append(_cell("code", "%%bash -e\n" + part.removeprefix("```sh\n").removesuffix("```").rstrip()))
        elif part.strip():
            cells.append(_cell("markdown", part.strip()))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _cell(kind: str, source: str) -> dict[str, Any]:
    outputs: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, **outputs, "source": source.splitlines(keepends=True)}


if __name__ == "__main__":
    sys.exit(main())
