"""Writes the description of pushed models of tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Writes `model_info.json` with the checksums of the other two files."""
    sha256 = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.tflite", "items.json")}
    (folder / "model_info.json").write_text(json.dumps({**info, "sha256": sha256}), encoding="utf-8")


def change_info(folder: Path, **changes: Any) -> None:
    """Changes properties of `model_info.json`, and renews the checksums."""
    info = json.loads((folder / "model_info.json").read_text(encoding="utf-8"))
    write_info(folder, {**info, **changes})
