"""A page about one run, for whoever asks how it went."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def write_report(path: Path, summary: dict[str, Any], config: dict[str, Any], metadata: Path) -> None:
    """Write the page about the newest run of a store.

    Args:
        path: of the page.
        summary: of the run, as `pipeline.summary.summarise` gives it.
        config: the configuration that was used.
        metadata: the SQLite file of ML Metadata.

    Raises:
        OSError: the page cannot be written.
    """
    from report.known import find_out
    from report.page import render

    content = render(find_out(summary, config, metadata), path.parent)
    # Never half a page in place of the last one.
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(content, encoding="utf-8")
    staged.replace(path)
