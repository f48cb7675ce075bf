"""Writes an HTML page about a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def write_report(path: Path, summary: dict[str, Any], config: dict[str, Any], metadata: Path) -> None:
    """Writes the page about the newest run of a store.

    Args:
        path: of the page.
        summary: of the run, as `pipeline.summary.summarise` returns it.
        config: the configuration that was used.
        metadata: the SQLite file of ML Metadata.

    Raises:
        OSError: the page cannot be written.
    """
    from report.page import render
    from report.run_facts import collect

    content = render(collect(summary, config, metadata), path.parent)
    # An interrupted write leaves the previous page.
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(content, encoding="utf-8")
    staged.replace(path)
