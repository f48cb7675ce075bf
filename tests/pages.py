"""Pages in Chromium: sizes of screens, errors and screenshots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def collect_errors(page: Any, origin: str, errors: list[str]) -> None:
    """Adds errors of a page to `errors`, and its requests for URLs that do not start with `origin`."""
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(origin) else errors.append(request.url))


def save_screenshot(page: Any, name: str) -> None:
    """Saves a screenshot in the folder TEST_ARTIFACTS, by default output/test-artifacts."""
    folder = Path(__file__).parents[1] / os.environ.get("TEST_ARTIFACTS", "output/test-artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")
