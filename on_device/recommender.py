"""Recommends with a pushed model, on ids of items."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from on_device.artifact import FIRST_INDEX, ITEMS, MODEL, PADDING, PUSH_AGAIN, UNKNOWN, Artifact, Item, open_artifact
from on_device.catalogue import Catalogue, Entry, is_list
from on_device.diversity import diversify
from on_device.errors import ArtifactError, shown
from on_device.runtime import check_runtime
from on_device.tflite_model import EXCLUDED, LARGEST_BOOST, NO_INDICES, TFLiteModel

INT64_END = 2**63  # the first integer that int64 cannot hold


@dataclass(frozen=True)
class Recommendation:
    """A recommended item.

    Attributes:
        index: Index in the model.
        id: Id in the data.
        title: Title to display.
        year: Year of release, or None if unknown.
        genres: Genres of the item.
        score: Higher is better. Scores of `recommend` are comparable within one answer only; those of `similar` are
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
        item: Item of the history.
        contribution: How much the score of the recommended item falls without this item; negative if it rises.
    """

    item: Item
    contribution: float


class Recommender:
    """A pushed model and its catalogue. Threads may share a recommender. A pickled recommender reopens its files.

    Args:
        artifact: The pushed model.
        threads: Number of threads of an inference.
        xnnpack: Whether to use XNNPACK.

    Attributes:
        artifact: The pushed model.
        catalogue: The items, with lookup by id and by title.
        items: The catalogue, in the order of indices.
        history_length: Number of items N of a history that the model uses.
        top_k: Largest number of items K of an answer.
        activity_inputs: Names of the model's inputs besides the history, such as `ratings` and `times`.
        signatures: Names of the model's signatures, such as `recommend` and `similar`.

    Raises:
        ArtifactError: The model contradicts `model_info.json`, or needs a newer runtime.

    Example:
        A catalogue of 12 films, whose ids are 1002 to 1013:

        >>> from on_device import Recommender
        >>> recommender = Recommender.load("serving_models/films")
        >>> len(recommender.items), recommender.history_length, recommender.top_k
        (12, 4, 10)
        >>> [item.id for item in recommender.recommend(["1002", "1005"], k=3)]
        ['1006', '1007', '1008']
    """

    def __init__(self, artifact: Artifact, threads: int = 1, xnnpack: bool = True):
        self.artifact = artifact
        self.items = artifact.items
        self.catalogue = Catalogue(self.items)
        self._options = threads, xnnpack
        path = artifact.folder / MODEL
        check_runtime(artifact.info.get("min_runtime"), str(path))
        model = TFLiteModel(artifact.model, str(path), threads, xnnpack)
        self._model, self.history_length, self.top_k = model, model.history_length, model.top_k
        self.activity_inputs, self.signatures = model.activity_inputs, model.signatures
        for name, value in (("history_length", self.history_length), ("top_k", self.top_k)):
            if value != artifact.info.get(name):
                raise ArtifactError(f"{path}: {name} is {value}, but model_info.json says {artifact.info.get(name)!r}")

    @classmethod
    def load(cls, path: str | Path, threads: int = 1, xnnpack: bool = True) -> Recommender:
        """Loads the folder of a version, or the newest version in the folder of a pipeline.

        Raises:
            ArtifactError: A file is missing or broken, or does not match the others.
        """
        return cls(open_artifact(path), threads, xnnpack)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.artifact.model, Path):
            return type(self).load, (self.artifact.folder, *self._options)
        return type(self), (self.artifact, *self._options)

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
            history: Ids or items that the user chose, oldest first. The model uses the last N. Ids that the catalogue
                lacks count as unknown items. For an empty history, popular items are returned. `catalogue.titled`
                finds items by title.
            k: Number of items, from 1 to K.
            allow: The only items that may be recommended, such as those in stock. None allows all items.
            deny: Items to exclude. All items of the history are excluded too, unless `recommends_seen` in
                `model_info.json` is true.
            boost: Values to add to the scores of some items, by id; a negative value demotes. Scores of the best ten
                items often lie within 3 of each other.
            bias: Result of `make_bias`, which replaces `allow` and `boost` when many answers share them.
            diversity: From 0 to 1. With 0, the items with the highest scores are returned. With a higher value, items
                that are similar to a better item are replaced by others of the best K (see `on_device.diversity`).
            activity: Values for each item of the history by the names in `activity_inputs`, as long as the history,
                with None for unknown values. `ratings` are the user's ratings and `times` the times of the
                interactions, in seconds since 1970; models without these inputs ignore them. Other inputs are numbers,
                or words as in the log.

        Returns:
            Items, best first; fewer than `k` if no other items remain.

        Raises:
            ArtifactError: `k` or `diversity` is out of range, an entry is neither an id nor an item, a boost is not a
                number or is over 1000, the model lacks an input, its values are not numbers or not as many as the
                history has, the model lacks the signature that compares items, or the files do not belong together.

        Example:
            >>> recommender = Recommender.load("serving_models/films")
            >>> [item.id for item in recommender.recommend(["1005"], k=3, deny=["1007"], boost={"1009": 10})]
            ['1009', '1006', '1008']
        """
        self._check_k(k)
        if not _is_number(diversity) or not 0 <= diversity <= 1:
            raise ArtifactError(f"diversity is {shown(diversity)}; expected a number from 0 to 1")
        indices = self.catalogue.indices(history)
        # The model excludes the items that it sees; older items are excluded here.
        older = indices[:0] if self.artifact.info.get("recommends_seen") else indices[: -self.history_length]
        exclude = np.concatenate([self.catalogue.indices(deny), older])
        encoded = {name: self._encode(name, values) for name, values in activity.items()}
        ids, scores = self.rank_indices(indices, exclude, self._bias(bias, allow, boost), **encoded)
        if diversity:
            positions = diversify(scores, lambda position: self._similarities(ids, position), k, float(diversity))
            ids, scores = ids[positions], scores[positions]
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
            item: Id or item.
            k: Number of items, from 1 to K.
            allow: See `recommend`.
            deny: See `recommend`.
            boost: See `recommend`; scores lie between -1 and 1.
            bias: See `recommend`.

        Returns:
            Items, most similar first, without the item itself.

        Raises:
            ArtifactError: The catalogue lacks the item, the file was pushed without `similar`, or see `recommend`.

        Example:
            >>> recommender = Recommender.load("serving_models/films")
            >>> [item.title for item in recommender.similar("1002", k=2)]
            ['Toy Story 2 (1999)', 'Film 13 (2000)']
        """
        self._check_k(k)
        index = self._known_index(item)
        ids, scores = self._model.similar(index, self.catalogue.indices(deny), self._bias(bias, allow, boost))
        return self._recommendations(ids[:k], scores[:k])

    def because(
        self, history: Iterable[Entry], item: Entry, **activity: Sequence[Any] | np.ndarray | None
    ) -> list[Reason]:
        """Returns the latest items of a history with their contributions to the score of a recommended item.

        Args:
            history: See `recommend`. The ten latest known items among the last N are removed one by one.
            item: Id or item whose score is explained.
            activity: See `recommend`.

        Returns:
            Reasons, the largest contribution first.

        Raises:
            ArtifactError: The catalogue lacks the item, the file was pushed without `explain`, or see `recommend`.

        Example:
            >>> recommender = Recommender.load("serving_models/films")
            >>> [reason.item.title for reason in recommender.because(["1002", "1005"], "1006")]
            ['Heat (1995)']
        """
        index = self._known_index(item)
        indices = self.catalogue.indices(history)
        encoded = {name: self._encode(name, values) for name, values in activity.items()}
        contributions = self._model.explain(indices, index, **encoded)
        pairs = zip(indices[-self.history_length :].tolist(), contributions.tolist(), strict=True)
        reasons = [Reason(self.items[at - FIRST_INDEX], value) for at, value in pairs if value and at >= FIRST_INDEX]
        return sorted(reasons, key=lambda reason: -reason.contribution)

    def make_bias(
        self, allow: Iterable[Entry] | None = None, boost: Mapping[str | int, float] | None = None
    ) -> np.ndarray:
        """Returns the values to add to the scores of all indices, float32 [V], for use in many answers.

        Args:
            allow: See `recommend`.
            boost: See `recommend`.

        Raises:
            ArtifactError: An entry is neither an id nor an item, or a boost is not a number or is over 1000.

        Example:
            >>> recommender = Recommender.load("serving_models/films")
            >>> in_stock = recommender.make_bias(allow=["1003", "1004", "1012"])
            >>> [item.id for item in recommender.recommend(["1010"], bias=in_stock)]
            ['1012', '1003', '1004']
        """
        bias = np.zeros(self._model.size, np.float32)
        for entry, value in _boosts(boost).items():
            if not _is_number(value) or not abs(value) <= LARGEST_BOOST:
                raise ArtifactError(
                    f"boost of {shown(entry)} is {shown(value)}; expected a number up to {LARGEST_BOOST:g}"
                )
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
        """Returns the best items by index, int32 [k] and float32 [k]; see `TFLiteModel.rank`.

        Integers in `history` and `exclude` that are not an index of the catalogue count as unknown items.

        Raises:
            ArtifactError: `history` or `exclude` are not integers, or see `TFLiteModel.rank`.
        """
        known_history, known_exclude = self._known(history, "history"), self._known(exclude, "exclude")
        return self._model.rank(known_history, known_exclude, bias, **activity)

    def similar_indices(
        self, item: int, exclude: np.ndarray | Sequence[int] = (), bias: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the most similar items by index; see `TFLiteModel.similar`.

        Raises:
            ArtifactError: `item` is not an index of the catalogue, or see `TFLiteModel.similar`.
        """
        return self._model.similar(self._index_of_item(item), self._known(exclude, "exclude"), bias)

    def explain_indices(
        self, history: np.ndarray | Sequence[int], item: int, **activity: Sequence[float] | np.ndarray | None
    ) -> np.ndarray:
        """Returns the contributions of the items of a history by index; see `TFLiteModel.explain`.

        Raises:
            ArtifactError: `item` is not an index of the catalogue, or see `TFLiteModel.explain`.
        """
        return self._model.explain(self._known(history, "history"), self._index_of_item(item), **activity)

    def _check_k(self, k: int) -> None:
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= self.top_k:
            raise ArtifactError(f"k is {shown(k)}; expected an integer from 1 to {self.top_k}")

    def _index_of_item(self, item: int) -> int:
        last = FIRST_INDEX + len(self.items) - 1
        if isinstance(item, bool) or not isinstance(item, (int, np.integer)) or not FIRST_INDEX <= item <= last:
            raise ArtifactError(f"item is {shown(item)}; expected an index from {FIRST_INDEX} to {last}")
        return int(item)

    def _known_index(self, item: Entry) -> int:
        index = self.catalogue.index(item)
        if index == UNKNOWN:
            name = item.id if isinstance(item, Item) else item
            raise ArtifactError(f"{self.artifact.folder / ITEMS}: no item with the id {str(name)!r}")
        return index

    def _similarities(self, ids: np.ndarray, position: int) -> np.ndarray:
        """Returns the cosines between one of at most K items and each of them, float32 [k]; 1 for the item itself."""
        bias = np.full(self._model.size, EXCLUDED)
        bias[ids] = 0
        others, cosines = self._model.similar(int(ids[position]), bias=bias)
        by_index = dict(zip(others.tolist(), cosines.tolist(), strict=True))
        return np.array([by_index.get(index, 1.0) for index in ids.tolist()], np.float32)

    def _bias(
        self, bias: np.ndarray | None, allow: Iterable[Entry] | None, boost: Mapping[str | int, float] | None
    ) -> np.ndarray | None:
        """Returns the bias that the arguments of an answer describe, float32 [V], or None."""
        if allow is None and not _boosts(boost):
            return bias
        if bias is not None:
            raise ArtifactError("bias replaces allow and boost; pass allow and boost to make_bias")
        return self.make_bias(allow, boost)

    @functools.cached_property
    def _words(self) -> dict[str, dict[str, int]]:
        """The index of each word, by input."""
        return {
            entry["input"]: {word: index for index, word in enumerate(entry["words"], start=FIRST_INDEX)}
            for entry in self.artifact.info.get("activity_inputs", [])
            if "words" in entry
        }

    def _encode(self, name: str, values: Sequence[Any] | np.ndarray | None) -> Any:
        """Returns the values of an input, with words replaced by their indices."""
        if name not in self._words or values is None:
            return values
        if not is_list(values):
            raise ArtifactError(f"{name}: expected a list of words, found {values!r}")
        # NaN differs from itself.
        words = ["" if value is None or value != value else str(value).strip() for value in values]
        return [self._words[name].get(word, UNKNOWN) if word else PADDING for word in words]

    def _known(self, indices: np.ndarray | Sequence[int], name: str) -> np.ndarray:
        """Returns indices as int32 [H], with UNKNOWN for integers that are not an index of the catalogue."""
        values = _integers(indices, name)
        if not values.size:
            return NO_INDICES
        known = values.astype(np.int32)
        # As unsigned integers, negative ones exceed the catalogue too.
        np.putmask(known, values.view(np.uint64) >= np.uint64(FIRST_INDEX + len(self.items)), UNKNOWN)
        return known

    def _recommendations(self, ids: np.ndarray, scores: np.ndarray) -> list[Recommendation]:
        end = FIRST_INDEX + len(self.items)
        recommendations = []
        for index, score in zip(ids.tolist(), scores.tolist(), strict=True):
            if index >= end:
                path = self.artifact.folder / MODEL
                raise ArtifactError(f"{path}: returned index {index}, but {ITEMS} ends with {end - 1}; {PUSH_AGAIN}")
            item = self.items[index - FIRST_INDEX]
            recommendations.append(Recommendation(index, item.id, item.title, item.year, item.genres, score))
        return recommendations


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _boosts(boost: Mapping[str | int, float] | None) -> Mapping[str | int, float]:
    if boost is not None and not isinstance(boost, Mapping):
        raise ArtifactError(f"boost: expected numbers by id, such as {{'17': 0.5}}, found {shown(boost)}")
    return boost or {}


def _integers(values: np.ndarray | Sequence[int], name: str) -> np.ndarray:
    """Returns integers as int64 [H], with -1 for those that are too large for int64."""
    try:
        array = np.asarray(values)
    except ValueError:  # The entries are lists of different lengths.
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise ArtifactError(f"{name}: expected a list of item indices, found {shown(values)}")
    if array.dtype.kind in "iu" or not array.size:
        return array.astype(np.int64, copy=False)
    # NumPy turns integers beyond its types into floats, and numbers beside a text into texts.
    entries = array.tolist() if isinstance(values, np.ndarray) else list(values)
    for entry in entries:
        if isinstance(entry, (bool, np.bool_)) or not isinstance(entry, (int, np.integer)):
            raise ArtifactError(f"{name}: {entry!r} is not an item index; recommend() takes ids")
    return np.array([entry if abs(entry) < INT64_END else -1 for entry in entries], np.int64)
