"""Links in the documents have targets, the README stays short, and the linter rejects bad prose and workflows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    """Returns the Markdown files of the project."""
    paths = [path for path in ROOT.glob("*.md")]
    for folder in ("docs", "data", "benchmarks", "serving_models", "configs", "tests"):
        paths += (ROOT / folder).glob("*.md")
    return sorted(paths)


def anchors(document: Path) -> set[str]:
    """Returns the anchors of a document's headings, in the form of GitHub."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_has_a_target(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name) if name else document
        assert target.exists(), f"{document}: {link}"
        assert not anchor or anchor in anchors(target), f"{document}: {link}"


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_every_document_is_linked() -> None:
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in documents()
        for link in LINK.findall(document.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", link)
    }
    tracked = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert [name for name in tracked if (ROOT / name).resolve() not in linked] == []


@pytest.mark.parametrize(
    ("hook", "name", "wrong", "right"),
    [
        ("spelling", "guide.md", "Recom|endations.\n", "Recommendations.\n"),
        ("wording", "guide.md", "The report t|ells the recall.\n", "The report shows the recall.\n"),
        ("wording", "steps.py", '"""Shows wh|at\n# is new."""\n', '"""What is new?"""\n'),
        ("wording", "Dockerfile", "# Copies the wh|ole folder.\n", "# Rounds to whole numbers.\n"),
        ("wording", "page.html", "<p>This shows the wh|ole list.\n", "<p>This shows the list.\n"),
        ("wording", "Client.kt", "/** Returns that\n * wh|ich fits. */\n", "/** Returns the answer. */\n"),
        ("workflows", ".github/workflows/ci.yml", "name: CI\n", "on: push\njobs: {a: {uses: ./b.yml}}\n"),
    ],
)
def test_lint_rejects_an_error_and_accepts_its_correction(
    tmp_path: Path, hook: str, name: str, wrong: str, right: str
) -> None:
    for file in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    # `|` keeps the linter from rejecting this file.
    for text, code in ((wrong.replace("|", ""), 1), (right, 0)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pre_commit", "run", hook, "--files", name]
        process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert process.returncode == code and (code == 0) != (name in process.stdout), process.stdout + process.stderr
