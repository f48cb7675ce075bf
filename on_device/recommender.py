"""Recommends with a pushed model, by id or title."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from on_device.artifact import AGAIN, FIRST_INDEX, ITEMS, MODEL, PADDING, UNKNOWN, Artifact, Item, open_artifact
from on_device.errors import ArtifactError
from on_device.runtime import check_runtime
from on_device.tflite_model import EXCLUDED, LARGEST_BOOST, NOTHING, TFLiteModel

LARGEST = 2**63  # what int64 does not hold any more


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        index: what the model calls it.
        id: what the data calls it.
        title: for people.
        year: of release; None where unknown.
        genres: of it.
        score: the higher the better; only scores of the same answer compare.
    """

    index: int
    id: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    score: float


class Recommender:
    """A pushed model and its catalogue. Threads may share one.

    Args:
        artifact: the pushed model.
        threads: number of threads of one inference.
        xnnpack: whether XNNPACK computes what it can.

    Raises:
        ArtifactError: the file contradicts `model_info.json`, or needs a newer runtime.
    """

    def __init__(self, artifact: Artifact, threads: int = 1, xnnpack: bool = True):
        self.artifact = artifact
        path = artifact.folder / MODEL
        check_runtime(artifact.info.get("min_runtime"), str(path))
        self._model = TFLiteModel(artifact.model, str(path), threads, xnnpack)
        for name, value in (("history_length", self._model.history_length), ("top_k", self._model.top_k)):
            if value != artifact.info[name]:
                raise ArtifactError(f"{path}: {name} is {value}, but model_info.json says {artifact.info[name]}")

    @classmethod
    def load(cls, path: str | Path, threads: int = 1) -> Recommender:
        """Load a version's folder, or the newest version in a pipeline's folder.

        Raises:
            ArtifactError: a file is missing, broken or does not fit the others.
        """
        return cls(open_artifact(path), threads)

    @functools.cached_property
    def _by_id(self) -> dict[str, Item]:
        return {item.id: item for item in self.items}

    @functools.cached_property
    def _by_title(self) -> dict[str, Item]:
        # Where titles repeat, the first counts: items are in order of popularity.
        return {item.title: item for item in reversed(self.items)}

    @property
    def items(self) -> tuple[Item, ...]:
        """The catalogue, in the order of indices."""
        return self.artifact.items

    @property
    def history_length(self) -> int:
        """Number of items N of a history that count."""
        return self._model.history_length

    @property
    def top_k(self) -> int:
        """Most items K of an answer."""
        return self._model.top_k

    def find(self, wanted: str | int) -> Item | None:
        """The item with an id or a title; None where the catalogue lacks it."""
        key = str(wanted)
        return self._by_id.get(key) or self._by_title.get(key)

    @property
    def activity_inputs(self) -> tuple[str, ...]:
        """Names of what the model looks at besides the items of a history, such as `ratings` and `times`."""
        return self._model.activity_inputs

    def recommend(
        self,
        history: Sequence[str | int],
        k: int = 10,
        *,
        allow: Iterable[str | int] | None = None,
        deny: Iterable[str | int] = (),
        boost: Mapping[str | int, float] | None = None,
        **activity: Sequence[Any] | np.ndarray | None,
    ) -> list[Recommendation]:
        """Returns the best items for a user.

        Args:
            history: ids or titles of what the user chose, oldest first. The model looks at the last N; items that the
                catalogue lacks count as unknown ones. For an empty history the popular items are returned.
            k: how many, from 1 to K.
            allow: ids or titles of the only items that may be recommended, such as those in stock; None allows all.
            deny: ids or titles that are not wanted. Nothing in the history is, however long ago, unless
                `recommends_seen` of `model_info.json` is true.
            boost: what is added to the scores of some items, by id or title; a negative number demotes. Scores of the
                best ten items often lie within 3 of each other.
            activity: what is known of each item of the history, by the names of `activity_inputs`, as long as the
                history; None where a value is unknown. `ratings` are what the user said of it, `times` when that was,
                in seconds since 1970; models that do not look at these ignore them. Other inputs are numbers, or words
                as the log has them.

        Returns:
            The best first; fewer than `k` where no more items remain.

        Raises:
            ArtifactError: `k` is out of range, an entry is neither an id nor a title, a boost is no number or over
                1000, the model has no input of a name, its values are not numbers or not as many as the history has,
                or the files do not belong together.
        """
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= self.top_k:
            raise ArtifactError(f"k is {k}; this model answers 1 to {self.top_k}")
        indices = self._indices(history)
        older = indices[:0] if self.artifact.info.get("recommends_seen") else indices[: -self.history_length]
        unwanted = np.concatenate([self._indices(deny), older])
        coded = {name: self._coded(name, values) for name, values in activity.items()}
        ids, scores = self.rank_indices(indices, unwanted, self._bias(allow, boost), **coded)
        return [self._recommendation(*pair) for pair in zip(ids[:k].tolist(), scores[:k].tolist(), strict=True)]

    def rank_indices(
        self,
        history: np.ndarray | Sequence[int],
        exclude: np.ndarray | Sequence[int] = (),
        bias: np.ndarray | None = None,
        **activity: Sequence[float] | np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best items, by index.

        Args:
            history: int [H], oldest first; of more than N the last N count. Integers that are no index of the
                catalogue count as unknown items.
            exclude: int [M], not wanted; neither are the N items of the history.
            bias: float32 [V], added to the score of each index, from padding on; None adds nothing.
            activity: as `recommend` takes it, with indices of words in place of words.

        Returns:
            int32 [k] and float32 [k], indices and scores of the k <= K best items, best first.

        Raises:
            ArtifactError: as `recommend`; `history` or `exclude` are not integers.
        """
        known, unwanted = self._known(history, "history"), self._known(exclude, "exclude")
        return self._model.rank(known, unwanted, bias, **activity)

    def _bias(self, allow: Iterable[str | int] | None, boost: Mapping[str | int, float] | None) -> np.ndarray | None:
        """What is added to the scores, float32 [V]; None where that is nothing."""
        if allow is None and not boost:
            return None
        bias = np.zeros(self._model.size, np.float32)
        for wanted, value in (boost or {}).items():
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float, np.number))
                or not abs(value) <= LARGEST_BOOST
            ):
                raise ArtifactError(f"boost of {wanted!r} is {value!r}; expected a number up to {LARGEST_BOOST:g}")
            bias[self._indices([wanted])] = value
        if allow is not None:
            allowed = np.zeros(len(bias), bool)
            allowed[self._indices(allow)] = True
            bias[~allowed] = EXCLUDED
        return bias

    @functools.cached_property
    def _words(self) -> dict[str, dict[str, int]]:
        """The index of each word, by input."""
        return {
            about["input"]: {word: index for index, word in enumerate(about["words"], start=FIRST_INDEX)}
            for about in self.artifact.info.get("activity_inputs", [])
            if "words" in about
        }

    def _coded(self, name: str, values: Sequence[Any] | np.ndarray | None) -> Any:
        """The values of an input with the index of each word in place of it."""
        if name not in self._words or values is None:
            return values
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ArtifactError(f"{name}: expected a list of words, found {values!r}")
        # NaN equals nothing.
        texts = ["" if value is None or value != value else str(value).strip() for value in values]
        return [self._words[name].get(text, UNKNOWN) if text else PADDING for text in texts]

    def _known(self, indices: np.ndarray | Sequence[int], name: str) -> np.ndarray:
        """int32 [H], with UNKNOWN in place of what is no index of the catalogue."""
        values = _integers(indices, name)
        if not values.size:
            return NOTHING
        known = values.astype(np.int32)  # A copy.
        # Without a sign, negative ones are beyond the catalogue too.
        np.putmask(known, values.view(np.uint64) >= np.uint64(FIRST_INDEX + len(self.items)), UNKNOWN)
        return known

    def _recommendation(self, index: int, score: float) -> Recommendation:
        if index - FIRST_INDEX >= len(self.items):
            path, last = self.artifact.folder / MODEL, FIRST_INDEX + len(self.items) - 1
            raise ArtifactError(f"{path}: answers index {index}, but {ITEMS} ends with {last}; {AGAIN}")
        item = self.items[index - FIRST_INDEX]
        return Recommendation(index, item.id, item.title, item.year, item.genres, score)

    def _indices(self, wanted: Iterable[str | int]) -> np.ndarray:
        if isinstance(wanted, (str, bytes)) or not isinstance(wanted, Iterable):
            raise ArtifactError(f"expected a list of ids or titles, found {wanted!r}")
        indices = []
        for entry in wanted:
            if isinstance(entry, bool) or not isinstance(entry, (str, int, np.integer)):
                raise ArtifactError(f"{entry!r} is neither an id nor a title")
            item = self.find(entry)
            indices.append(UNKNOWN if item is None else item.index)
        return np.array(indices, np.int32)


def _integers(values: np.ndarray | Sequence[int], name: str) -> np.ndarray:
    """Integers as int64 [H], -1 for those that are too large for it."""
    try:
        array = np.asarray(values)
    except ValueError:  # Its entries are lists of different lengths.
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise ArtifactError(f"{name}: expected a list of item indices, found {' '.join(repr(values).split())[:80]}")
    if array.dtype.kind in "iu" or not array.size:
        return array.astype(np.int64, copy=False)
    # NumPy makes floats of integers that no type of its own holds, and texts of numbers beside a text.
    entries = array.tolist() if isinstance(values, np.ndarray) else list(values)
    for entry in entries:
        if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, np.integer)):
            raise ArtifactError(f"{name}: {entry!r} is not an item index; recommend() takes ids and titles")
    return np.array([entry if abs(entry) < LARGEST else -1 for entry in entries], np.int64)
