"""Writes HTML and SVG: all text is escaped, unless it is `Html` already."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias


class Html(str):
    """Text that is HTML."""


Content: TypeAlias = "str | Html | Iterable[Content] | None"


def join(content: Content) -> Html:
    """Escapes what is text, and leaves out what is None."""
    if content is None:
        return Html()
    if isinstance(content, Html):
        return content
    return Html(html.escape(content) if isinstance(content, str) else "".join(map(join, content)))


def tag(name: str, *content: Content, **attributes: str | float | None) -> Html:
    """An element: `tag("td", "a < b", class_="number")`.

    Args:
        name: of the element.
        content: text, elements, or lists of them.
        attributes: `_` stands for `-`, one at the end for nothing; those that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(content)}</{name}>")


def _number(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
