"""Finds titles that a person half remembers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from on_device.artifact import Item

POPULAR = 10_000  # titles that may be similar; to compare with a million of them would take a minute


def suggest(wanted: str, items: Sequence[Item], limit: int = 5) -> list[Item]:
    """Items whose titles are like `wanted`, the most alike first: titles that hold all its words, then similar ones.

    Similar titles are those of popular items.
    """
    words = _normal(wanted).split()
    # Where titles repeat, the first stays: items are in the order of popularity.
    keyed = {_normal(item.title): item for item in reversed(items)}
    holding = [title for title in keyed if words and all(word in title for word in words)]
    holding.sort(key=lambda title: (len(title), keyed[title].index))
    popular = dict.fromkeys(_normal(item.title) for item in items[:POPULAR])
    alike = difflib.get_close_matches(_normal(wanted), popular, n=limit, cutoff=0.5)
    return [keyed[title] for title in dict.fromkeys([*holding, *alike])][:limit]


def _normal(title: str) -> str:
    return " ".join(re.findall(r"\w+", title.lower()))
