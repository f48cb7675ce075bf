"""The model file: its signatures, on item indices."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from on_device.artifact import AGAIN, FIRST_INDEX, MODEL, PADDING
from on_device.errors import ArtifactError

RECOMMEND, SIMILAR, EXPLAIN = "recommend", "similar", "explain"
SIGNATURES = (RECOMMEND, SIMILAR, EXPLAIN)
RATINGS, TIMES = "ratings", "times"  # inputs that every log may have values for
# What stands for a value that is not known, by the type of an input: a number; or a time or the index of a word.
NOT_GIVEN: dict[Any, np.generic] = {np.float32: np.float32(np.nan), np.int32: np.int32(0)}
# Anything larger is a mistake.
LARGEST: dict[Any, float] = {np.float32: float(np.finfo(np.float32).max), np.int32: float(np.iinfo(np.int32).max)}
LARGEST_TIME = 2.0**62
NOTHING = np.empty(0, np.int32)
EXCLUDED = np.float32(-30_000)  # bias of an item that is not wanted: far below any score
LARGEST_BOOST = 1000.0  # far above any difference of scores, and far from EXCLUDED


class TFLiteModel:
    """A model file in memory. Threads may share one: their calls wait for each other.

    Args:
        model: path of the `.tflite` file, which is mapped into memory; or its content.
        name: of the file, for errors.
        threads: number of threads of one inference.
        xnnpack: whether XNNPACK computes what it can, as is the default of the runtime. Without it an answer takes
            several times as long.

    Attributes:
        history_length: number of items N that the model looks at.
        top_k: number of items K that it returns.
        size: number of indices V, of items and those before FIRST_INDEX.
        signatures: names of what the file computes.
        activity_inputs: names of what it looks at besides the items of a history, such as `ratings` and `times`.

    Raises:
        ArtifactError: not a model of this pipeline.
    """

    def __init__(self, model: bytes | Path, name: str = MODEL, threads: int = 1, xnnpack: bool = True):
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            file = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
            interpreter = Interpreter(**file, num_threads=threads, experimental_op_resolver_type=kernels)
            self._recommend = interpreter.get_signature_runner(RECOMMEND)
            self.signatures = tuple(interpreter.get_signature_list())
            self._runners = {name: interpreter.get_signature_runner(name) for name in self.signatures}
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(f"{name}: not a model file that this client can run ({reason})") from None
        self._lock = threading.Lock()
        self._name = name
        self.history_length = _length(self._recommend.get_input_details(), "history", np.int32, name)
        self.top_k = _length(self._recommend.get_output_details(), "ids", np.int32, name)
        _length(self._recommend.get_output_details(), "scores", np.float32, name)
        inputs = self._recommend.get_input_details()
        self.size = _length(inputs, "bias", np.float32, name)
        self._no_bias = np.zeros((1, self.size), np.float32)
        expected = {RATINGS: np.float32, TIMES: np.int32}
        others = [key for key in inputs if key not in ("history", "bias")]
        self._dtypes = {key: expected.get(key, _kind(inputs, key, name)) for key in others}
        for key, dtype in self._dtypes.items():
            length = _length(inputs, key, dtype, name)
            if length != self.history_length:
                raise ArtifactError(f"{name}: {key} has length {length}, and history {self.history_length}")
        self.activity_inputs = tuple(self._dtypes)

    def rank(
        self,
        history: np.ndarray,
        exclude: np.ndarray = NOTHING,
        bias: np.ndarray | None = None,
        **activity: Sequence[float] | np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best items.

        Args:
            history: int [H], item indices, oldest first; of more than N the last N count.
            exclude: int [M], item indices that are not wanted; the history's never are.
            bias: float32 [V], added to the score of each index; None adds nothing.
            activity: what else is known of the history, in parallel, by the name of the input: numbers [H], NaN where
                unknown, such as `ratings`; indices of words [H], and `times` [H], seconds since 1970; 0 or NaN where
                unknown. `ratings` and `times` are ignored by a model that does not look at them; what is missing counts
                as unknown.

        Returns:
            int32 [k] and float32 [k], indices and scores of the k <= K best items, best first.

        Raises:
            ArtifactError: `activity` is not of numbers, or not as long as the history; or the file is broken.
        """
        inputs = self._histories(history, activity)
        answer = self._run(RECOMMEND, **inputs, bias=self._bias(exclude, bias))
        return _listed(answer)

    def similar(
        self, item: int, exclude: np.ndarray = NOTHING, bias: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the items that are most similar to an item.

        Args:
            item: index of an item.
            exclude: int [M], item indices that are not wanted; the item itself never is.
            bias: float32 [V], added to the cosine of each index; None adds nothing.

        Returns:
            int32 [k] and float32 [k], indices and cosines of the k <= K most similar items, most similar first.

        Raises:
            ArtifactError: the file was pushed without this signature, or is broken.
        """
        answer = self._run(SIMILAR, item=np.array([[item]], np.int32), bias=self._bias(exclude, bias))
        return _listed(answer)

    def explain(self, history: np.ndarray, item: int, **activity: Sequence[float] | np.ndarray | None) -> np.ndarray:
        """Returns by how much the score of an item falls without each of the latest items of a history.

        Args:
            history: int [H], item indices, oldest first; of more than N the last N count.
            item: index of an item.
            activity: as `rank` takes it.

        Returns:
            float32 [min(H, N)], of each of the last N items; 0 for those that were not left out.

        Raises:
            ArtifactError: the file was pushed without this signature, or as `rank`.
        """
        inputs = self._histories(history, activity)
        answer = self._run(EXPLAIN, **inputs, item=np.array([[item]], np.int32))
        contributions: np.ndarray = answer["contributions"][0, : min(len(history), self.history_length)]
        return contributions

    def _run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if signature not in self._runners:
            raise ArtifactError(
                f"{self._name}: has no signature {signature!r}, but {', '.join(self.signatures)}; push it with "
                f"{signature} among pusher.signatures"
            )
        try:
            with self._lock:
                answer: dict[str, np.ndarray] = self._runners[signature](**inputs)
                return answer
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(f"{self._name}: cannot answer ({reason}); {AGAIN}") from None

    def _histories(
        self, history: np.ndarray, activity: Mapping[str, Sequence[float] | np.ndarray | None]
    ) -> dict[str, np.ndarray]:
        """Returns the inputs of a history, each [1, N]."""
        inputs = {"history": self._padded(np.asarray(history, np.int32), np.int32(PADDING))}
        if unknown := [key for key in activity if key not in self._dtypes and key not in (RATINGS, TIMES)]:
            looked_at = ", ".join(self.activity_inputs) or "the items of the history only"
            raise ArtifactError(f"{self._name}: does not look at {', '.join(unknown)}, but at {looked_at}")
        for key, dtype in self._dtypes.items():
            inputs[key] = self._padded(self._activity(key, activity.get(key), len(history)), NOT_GIVEN[dtype])
        return inputs

    def _activity(self, key: str, values: Sequence[float] | np.ndarray | None, length: int) -> np.ndarray:
        """What is known of a history, [length] of the input's type."""
        dtype = self._dtypes[key]
        nothing = NOT_GIVEN[dtype]
        if values is None:
            return np.full(length, nothing)
        try:
            numbers = np.asarray(values, np.float64)  # None becomes NaN.
        except (TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"{self._name}: {key} are not numbers ({error})") from None
        if numbers.shape != (length,):
            found = len(numbers) if numbers.ndim == 1 else f"an array {list(numbers.shape)} of"
            raise ArtifactError(f"{self._name}: {found} {key} for a history of {length} items")
        beyond = numbers[np.abs(numbers) > (LARGEST_TIME if key == TIMES else LARGEST[dtype])]
        if len(beyond):
            raise ArtifactError(f"{self._name}: {beyond[0]:g} among {key}; leave out what is not known")
        numbers = np.where(np.isnan(numbers), nothing, numbers)
        # Times later than 2038 wrap around, which no time between two activities feels.
        return numbers.astype(np.int64).astype(np.int32) if dtype is np.int32 else numbers.astype(np.float32)

    def _bias(self, exclude: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        """What is added to the scores, [1, V]."""
        if bias is None and not len(exclude):
            return self._no_bias
        added = self._no_bias.copy() if bias is None else np.array(bias, np.float32, ndmin=2)
        if added.shape != self._no_bias.shape:
            raise ArtifactError(f"{self._name}: a bias of {added.size} values for {self.size} indices")
        if not np.isfinite(added).all():
            raise ArtifactError(f"{self._name}: the bias has values that are no numbers")
        added[0, exclude[(exclude >= 0) & (exclude < self.size)]] = EXCLUDED
        return added

    def _padded(self, values: np.ndarray, padding: np.generic) -> np.ndarray:
        """The last N of [H] values, then padding: [1, N]."""
        recent = values[-self.history_length :]
        padded = np.full((1, self.history_length), padding)
        padded[0, : len(recent)] = recent
        return padded


def _listed(answer: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices and scores of an answer, without the places that stay empty."""
    ids, scores = answer["ids"][0], answer["scores"][0]
    is_item = ids >= FIRST_INDEX
    return ids[is_item], scores[is_item]


def _kind(tensors: dict[str, Any], tensor: str, name: str) -> type:
    """Returns the type of an input, which must be one of `NOT_GIVEN`."""
    dtype: type = tensors[tensor]["dtype"]
    if dtype not in NOT_GIVEN:
        raise ArtifactError(f"{name}: {tensor} is {dtype.__name__}, expected float32 or int32")
    return dtype


def _length(tensors: dict[str, Any], tensor: str, dtype: type, name: str) -> int:
    """The second dimension of a tensor that must be `dtype` [1, length]."""
    found = tensors.get(tensor)
    if found is None:
        raise ArtifactError(f"{name}: has no tensor {tensor!r}, but {', '.join(tensors)}; not a model of this pipeline")
    shape = found["shape_signature"].tolist()
    if found["dtype"] is not dtype or len(shape) != 2 or shape[0] != 1:
        kind = f"{found['dtype'].__name__} {shape}"
        raise ArtifactError(f"{name}: {tensor} is {kind}, expected {dtype.__name__} [1, length]")
    return int(shape[1])
