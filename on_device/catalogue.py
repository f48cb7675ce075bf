"""The catalogue of a pushed model, with lookup by id and by title."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from on_device.artifact import UNKNOWN, Item
from on_device.errors import ArtifactError

Entry = str | int | Item  # an id or an item
MAX_COMPARED = 10_000  # popular items whose titles are compared by letters; a million would take a minute
APOSTROPHES = re.compile("['\u2019]")
NON_WORD = re.compile(r"[\W_]+")


class Catalogue:
    """The items that a model knows.

    Args:
        items: Items in the order of indices, which is the order of popularity.
    """

    def __init__(self, items: Sequence[Item]):
        self.items = tuple(items)

    @functools.cached_property
    def _by_id(self) -> dict[str, Item]:
        return {item.id: item for item in self.items}

    @functools.cached_property
    def _words(self) -> list[str]:
        """The words of each title, each after a space."""
        return [f" {normalized(item.title)}" for item in self.items]

    @functools.cached_property
    def _by_title(self) -> dict[str, Item]:
        # In reverse, so that the most popular of the items with the same title is kept.
        return {words: item for words, item in zip(reversed(self._words), reversed(self.items), strict=True)}

    def find(self, item_id: str | int) -> Item | None:
        """Returns the item with the given id, or None if the catalogue lacks it."""
        return self._by_id.get(str(item_id))

    def titled(self, title: str) -> Item | None:
        """Returns the most popular item with the given title, or None; case, accents and punctuation are ignored."""
        return self._by_title.get(f" {normalized(title)}")

    def search(self, text: str, limit: int | None = None) -> list[Item]:
        """Returns the items whose titles have, for each word of the text, a word that begins with it; popular first."""
        prefixes = [f" {word}" for word in normalized(text).split()]
        pairs = zip(self.items, self._words, strict=True)
        return [item for item, words in pairs if all(prefix in words for prefix in prefixes)][:limit]

    def suggest(self, text: str, limit: int = 5) -> list[Item]:
        """Returns items with similar titles: first those that contain the words of the text, then the closest."""
        import difflib  # Needed only for misspelt titles.

        query = normalized(text)
        if not query:
            return []
        matches = sorted(self.search(text), key=lambda item: (len(item.title), item.index))
        titles = dict.fromkeys(words.strip() for words in self._words[:MAX_COMPARED])
        close_titles = difflib.get_close_matches(query, titles, n=limit, cutoff=0.5)
        candidates = [*matches, *(self._by_title[f" {title}"] for title in close_titles)]
        return list({item.index: item for item in candidates}.values())[:limit]

    def indices(self, entries: Iterable[Entry]) -> np.ndarray:
        """Returns the index of each item, int32 [H]; UNKNOWN for ids that the catalogue lacks.

        Args:
            entries: Ids or items.

        Raises:
            ArtifactError: `entries` is not a list, or an entry is neither an id nor an item.
        """
        if not is_list(entries):
            raise ArtifactError(f"expected a list of ids or items, found {entries!r}")
        return np.array([self.index(entry) for entry in entries], np.int32)

    def index(self, entry: Entry) -> int:
        """Returns the index of an item, or UNKNOWN for an id that the catalogue lacks.

        Raises:
            ArtifactError: The entry is neither an id nor an item.
        """
        if isinstance(entry, Item):
            entry = entry.id  # The item may come from another version, with another index.
        if isinstance(entry, bool) or not isinstance(entry, (str, int, np.integer)):
            raise ArtifactError(f"{entry!r} is neither an id nor an item")
        item = self.find(int(entry) if isinstance(entry, np.integer) else entry)
        return UNKNOWN if item is None else item.index


def is_list(values: Any) -> bool:
    """Returns whether values can be iterated over, and are no text."""
    # A NumPy array without dimensions has `__iter__`, but cannot be iterated over.
    return isinstance(values, Iterable) and not isinstance(values, (str, bytes)) and getattr(values, "ndim", 1) > 0


def normalized(text: str) -> str:
    """Returns the words of a text in lower case, without accents, apostrophes or punctuation, one space apart."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter) != "Mn")
    lower_case = APOSTROPHES.sub("", "".join(letters).lower())
    return NON_WORD.sub(" ", lower_case).strip()
