"""Recommends with a pushed model, by the ids of items."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from on_device.artifact import AGAIN, FIRST_INDEX, ITEMS, MODEL, PADDING, UNKNOWN, Artifact, Item, open_artifact
from on_device.catalogue import Catalogue, Entry
from on_device.diversity import diversify
from on_device.errors import ArtifactError
from on_device.runtime import check_runtime
from on_device.tflite_model import EXCLUDED, LARGEST_BOOST, NOTHING, TFLiteModel

LARGEST = 2**63  # the first integer that int64 cannot hold


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        index: of the item in the model.
        id: of the item in the data.
        title: for people.
        year: of release; None where unknown.
        genres: of the item.
        score: the higher the better. Scores of `recommend` compare within one answer only; those of `similar` are
            cosines, from -1 to 1.
    """

    index: int
    id: str
    title: str
    year: int | None
    genres: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Reason:
    """An item of a history that contributed to a recommendation.

    Attributes:
        item: of the history.
        contribution: by how much the score of the recommended item falls without this one; negative where it rises.
    """

    item: Item
    contribution: float


class Recommender:
    """A pushed model and its catalogue. Threads may share one, and a pickled one opens its files again.

    Args:
        artifact: the pushed model.
        threads: number of threads of one inference.
        xnnpack: whether XNNPACK computes what it can.

    Attributes:
        artifact: the pushed model.
        catalogue: the items by id and by title.

    Raises:
        ArtifactError: the file contradicts `model_info.json`, or needs a newer runtime.
    """

    def __init__(self, artifact: Artifact, threads: int = 1, xnnpack: bool = True):
        self.artifact = artifact
        self.catalogue = Catalogue(artifact.items)
        self._options = threads, xnnpack
        path = artifact.folder / MODEL
        check_runtime(artifact.info.get("min_runtime"), str(path))
        self._model = TFLiteModel(artifact.model, str(path), threads, xnnpack)
        for name, value in (("history_length", self._model.history_length), ("top_k", self._model.top_k)):
            if value != artifact.info[name]:
                raise ArtifactError(f"{path}: {name} is {value}, but model_info.json says {artifact.info[name]}")

    @classmethod
    def load(cls, path: str | Path, threads: int = 1, xnnpack: bool = True) -> Recommender:
        """Loads a version's folder, or the newest version in a pipeline's folder.

        Raises:
            ArtifactError: a file is missing, broken or does not fit the others.
        """
        return cls(open_artifact(path), threads, xnnpack)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.artifact.model, Path):
            return type(self).load, (self.artifact.folder, *self._options)
        return type(self), (self.artifact, *self._options)

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

    @property
    def activity_inputs(self) -> tuple[str, ...]:
        """Names of what the model looks at besides the items of a history, such as `ratings` and `times`."""
        return self._model.activity_inputs

    @property
    def signatures(self) -> tuple[str, ...]:
        """Names of what the file computes, such as `recommend` and `similar`."""
        return self._model.signatures

    def recommend(
        self,
        history: Iterable[Entry],
        k: int = 10,
        *,
        allow: Iterable[Entry] | None = None,
        deny: Iterable[Entry] = (),
        boost: Mapping[str | int, float] | None = None,
        bias: np.ndarray | None = None,
        diversity: float = 0.0,
        **activity: Sequence[Any] | np.ndarray | None,
    ) -> list[Recommendation]:
        """Returns the best items for a user.

        Args:
            history: ids or items that the user chose, oldest first. The model looks at the last N; ids that the
                catalogue lacks count as unknown items. For an empty history the popular items are returned.
                `catalogue.titled` finds items by title.
            k: how many, from 1 to K.
            allow: the only items that may be recommended, such as those in stock; None allows all.
            deny: items that are not wanted. Nothing in the history is, however long ago, unless `recommends_seen` of
                `model_info.json` is true.
            boost: added to the scores of some items, by id; a negative number demotes. Scores of the best ten items
                often lie within 3 of each other.
            bias: of `make_bias`, in place of `allow` and `boost`: it is made once for many answers.
            diversity: from 0 to 1. With 0 the items are those with the highest scores; with more, items that are
                similar to a better one give way to others of the best K (see `on_device.diversity`).
            activity: what is known of each item of the history, by the names of `activity_inputs`, as long as the
                history; None where a value is unknown. `ratings` are what the user said of it, `times` when that was,
                in seconds since 1970; models that do not look at these ignore them. Other inputs are numbers, or words
                as the log has them.

        Returns:
            The best first; fewer than `k` where no more items remain.

        Raises:
            ArtifactError: `k` or `diversity` is out of range, an entry is neither an id nor an item, a boost is no
                number or over 1000, the model has no input of a name, its values are not numbers or not as many as the
                history has, the file cannot compare items, or the files do not belong together.
        """
        self._check_k(k)
        if isinstance(diversity, bool) or not isinstance(diversity, (int, float)) or not 0 <= diversity <= 1:
            raise ArtifactError(f"diversity is {diversity!r}; expected a number from 0 to 1")
        indices = self.catalogue.indices(history)
        older = indices[:0] if self.artifact.info.get("recommends_seen") else indices[: -self.history_length]
        unwanted = np.concatenate([self.catalogue.indices(deny), older])
        coded = {name: self._coded(name, values) for name, values in activity.items()}
        ids, scores = self.rank_indices(indices, unwanted, self._bias(bias, allow, boost), **coded)
        if diversity:
            places = diversify(scores, lambda place: self._similarities(ids, place), k, diversity)
            ids, scores = ids[places], scores[places]
        return self._recommendations(ids[:k], scores[:k])

    def similar(
        self,
        item: Entry,
        k: int = 10,
        *,
        allow: Iterable[Entry] | None = None,
        deny: Iterable[Entry] = (),
        boost: Mapping[str | int, float] | None = None,
        bias: np.ndarray | None = None,
    ) -> list[Recommendation]:
        """Returns the items that users choose in the same situations as an item.

        Args:
            item: id or item.
            k: how many, from 1 to K.
            allow: as `recommend` takes it.
            deny: as `recommend` takes it.
            boost: as `recommend` takes it; these scores lie between -1 and 1.
            bias: as `recommend` takes it.

        Returns:
            The most similar first, without the item itself.

        Raises:
            ArtifactError: the catalogue lacks the item, the file was pushed without `similar`, or as `recommend`.
        """
        self._check_k(k)
        index = self._known_index(item)
        ids, scores = self._model.similar(index, self.catalogue.indices(deny), self._bias(bias, allow, boost))
        return self._recommendations(ids[:k], scores[:k])

    def because(
        self,
        history: Iterable[Entry],
        item: Entry,
        **activity: Sequence[Any] | np.ndarray | None,
    ) -> list[Reason]:
        """Returns the latest items of a history by how much each contributes to the score of a recommended item.

        Args:
            history: as `recommend` takes it. The ten latest known items among the last N are left out in turn.
            item: id or item whose score is explained.
            activity: as `recommend` takes it.

        Returns:
            The largest contribution first.

        Raises:
            ArtifactError: the catalogue lacks the item, the file was pushed without `explain`, or as `recommend`.
        """
        index = self._known_index(item)
        indices = self.catalogue.indices(history)
        coded = {name: self._coded(name, values) for name, values in activity.items()}
        contributions = self._model.explain(indices, index, **coded)
        pairs = zip(indices[-self.history_length :].tolist(), contributions.tolist(), strict=True)
        reasons = [Reason(self.items[at - FIRST_INDEX], value) for at, value in pairs if value and at >= FIRST_INDEX]
        return sorted(reasons, key=lambda reason: -reason.contribution)

    def make_bias(
        self, allow: Iterable[Entry] | None = None, boost: Mapping[str | int, float] | None = None
    ) -> np.ndarray:
        """Returns what is added to the scores of all indices, float32 [V], for many answers with the same choice.

        Args:
            allow: as `recommend` takes it.
            boost: as `recommend` takes it.

        Raises:
            ArtifactError: an entry is neither an id nor an item, or a boost is no number or over 1000.
        """
        bias = np.zeros(self._model.size, np.float32)
        for entry, value in (boost or {}).items():
            is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not is_number or not abs(value) <= LARGEST_BOOST:
                raise ArtifactError(f"boost of {entry!r} is {value!r}; expected a number up to {LARGEST_BOOST:g}")
            bias[self.catalogue.index(entry)] = value
        if allow is not None:
            is_allowed = np.zeros(len(bias), bool)
            is_allowed[self.catalogue.indices(allow)] = True
            bias[~is_allowed] = EXCLUDED
        return bias

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

    def similar_indices(
        self, item: int, exclude: np.ndarray | Sequence[int] = (), bias: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the most similar items, by index; see `TFLiteModel.similar`."""
        return self._model.similar(item, self._known(exclude, "exclude"), bias)

    def explain_indices(
        self, history: np.ndarray | Sequence[int], item: int, **activity: Sequence[float] | np.ndarray | None
    ) -> np.ndarray:
        """Returns the contributions of the items of a history, by index; see `TFLiteModel.explain`."""
        return self._model.explain(self._known(history, "history"), item, **activity)

    def _check_k(self, k: int) -> None:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= self.top_k:
            raise ArtifactError(f"k is {k}; this model answers 1 to {self.top_k}")

    def _known_index(self, item: Entry) -> int:
        index = self.catalogue.index(item)
        if index == UNKNOWN:
            name = item.id if isinstance(item, Item) else item
            raise ArtifactError(f"{self.artifact.folder / ITEMS}: no item with the id {str(name)!r}")
        return index

    def _similarities(self, ids: np.ndarray, place: int) -> np.ndarray:
        """Returns the cosines between one of K items at most and each of them, float32 [k]; of itself 1."""
        bias = np.full(self._model.size, EXCLUDED)
        bias[ids] = 0
        others, cosines = self._model.similar(int(ids[place]), bias=bias)
        by_index = dict(zip(others.tolist(), cosines.tolist(), strict=True))
        return np.array([by_index.get(index, 1.0) for index in ids.tolist()], np.float32)

    def _bias(
        self, bias: np.ndarray | None, allow: Iterable[Entry] | None, boost: Mapping[str | int, float] | None
    ) -> np.ndarray | None:
        """Returns what is added to the scores, float32 [V]; None where that is nothing."""
        if bias is not None and (allow is not None or boost):
            raise ArtifactError("bias stands in place of allow and boost; give them to make_bias")
        return self.make_bias(allow, boost) if bias is None and (allow is not None or boost) else bias

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

    def _recommendations(self, ids: np.ndarray, scores: np.ndarray) -> list[Recommendation]:
        """Returns the items of an answer."""
        return [self._recommendation(*pair) for pair in zip(ids.tolist(), scores.tolist(), strict=True)]

    def _recommendation(self, index: int, score: float) -> Recommendation:
        if index - FIRST_INDEX >= len(self.items):
            path, last = self.artifact.folder / MODEL, FIRST_INDEX + len(self.items) - 1
            raise ArtifactError(f"{path}: answers index {index}, but {ITEMS} ends with {last}; {AGAIN}")
        item = self.items[index - FIRST_INDEX]
        return Recommendation(index, item.id, item.title, item.year, item.genres, score)


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
            raise ArtifactError(f"{name}: {entry!r} is not an item index; recommend() takes ids")
    return np.array([entry if abs(entry) < LARGEST else -1 for entry in entries], np.int64)
