"""The documents quote messages and outputs in the words of the sources."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("cluster", "components", "data", "lineage", "on_device", "pipeline", "report")
DOCUMENTS = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
DOCUMENTS.remove(ROOT / "docs" / "command_lines.md")  # help texts, which tests/pipeline/test_reference.py compares
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Words between values. Values are numbers, words in capitals, parts of paths, `…`, and these words of the examples.
PHRASE = re.compile(r"(?<![\w/.'-])[a-z]+(?: [a-z]+)+(?![\w/.'=-])")
VALUE = re.compile(r"\b(?:about(?= \d)|kubeflow|nan|pushed(?= version)|sample|shop)\b")


@functools.cache
def source_strings() -> str:
    """Returns the strings of the modules except docstrings, one per line; `{}` stands for an inserted value."""
    strings = []
    for path in [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value.value = None  # a docstring, which the walk reaches after its statement
            elif isinstance(node, ast.JoinedStr):
                strings.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.append(re.sub(r"%[-.\d]*[dfrs]", "{}", node.value))
    return "\n".join(strings)


def unknown_phrases(document: Path) -> list[str]:
    """Returns the quoted phrases that no source has.

    Quotes are outputs, and inline code that has `…` or three words, such as an error message.
    """
    text = document.read_text(encoding="utf-8")
    outputs = [block for language, block in BLOCK.findall(text) if language in ("", "json")]
    quotes = [line for block in outputs for line in block.splitlines() if not line.startswith("$")]
    codes = [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", BLOCK.sub("", text))]
    quotes += [code for code in codes if re.search(r"…|\b[a-z]+,? [a-z]+,? [a-z]+\b", code) and "$" not in code]
    phrases = [phrase for quote in quotes for phrase in PHRASE.findall(VALUE.sub("…", quote))]
    return [phrase for phrase in phrases if phrase not in source_strings()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_quotes_are_in_the_sources(document: Path) -> None:
    assert unknown_phrases(document) == []


def test_a_reworded_message_is_found(tmp_path: Path) -> None:
    document = tmp_path / "guide.md"
    document.write_text("`… responds, but not in the right way`\n\n```\nfailed: it was not as before (step 3)\n```\n")
    assert unknown_phrases(document) == ["it was not as before", "but not in the right way"]
