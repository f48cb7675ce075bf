"""Runs the signatures of a model file, on item indices."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from on_device.artifact import FIRST_INDEX, MODEL, PADDING, PUSH_AGAIN
from on_device.errors import ArtifactError, reason, shown

RECOMMEND, SIMILAR, EXPLAIN = "recommend", "similar", "explain"
SIGNATURES = (RECOMMEND, SIMILAR, EXPLAIN)
RATINGS, TIMES = "ratings", "times"  # inputs that every model accepts, and ignores if it does not use them
# The unknown value of an input, by type: float32 inputs are numbers, int32 inputs are times or indices of words.
UNKNOWN_VALUES: dict[Any, np.generic] = {np.float32: np.float32(np.nan), np.int32: np.int32(0)}
# Larger values of an input are refused.
LARGEST: dict[Any, float] = {np.float32: float(np.finfo(np.float32).max), np.int32: float(np.iinfo(np.int32).max)}
LARGEST_TIME = 2.0**62
NO_INDICES = np.empty(0, np.int32)
EXCLUDED = np.float32(-30_000)  # bias that excludes an item: far below any score
LARGEST_BOOST = 1000.0  # far above any difference of scores, and far from EXCLUDED


class TFLiteModel:
    """A model file in memory. Threads may share a model: calls run one at a time.

    Args:
        model: Path of the `.tflite` file, which is mapped into memory, or its content.
        name: Name of the file, for errors.
        threads: Number of threads of an inference.
        xnnpack: Whether to use XNNPACK, as the runtime does by default. Without it, an inference takes several times as
            long.

    Attributes:
        history_length: Number of items N of a history that the model uses.
        top_k: Number of items K that the model returns.
        size: Number of indices V: the items and the indices before FIRST_INDEX.
        signatures: Names of the signatures.
        activity_inputs: Names of the inputs besides the history and the bias, such as `ratings` and `times`.

    Raises:
        ArtifactError: The file is not a model of this pipeline.
    """

    def __init__(self, model: bytes | Path, name: str = MODEL, threads: int = 1, xnnpack: bool = True):
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            file = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
            interpreter = Interpreter(**file, num_threads=threads, experimental_op_resolver_type=kernels)
            recommend = interpreter.get_signature_runner(RECOMMEND)
            self.signatures = tuple(interpreter.get_signature_list())
            self._runners = {name: interpreter.get_signature_runner(name) for name in self.signatures}
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{name}: not a model file that this client can run ({reason(error)})") from None
        self._lock = threading.Lock()
        self._name = name
        inputs, outputs = recommend.get_input_details(), recommend.get_output_details()
        self.history_length = _length(inputs, "history", np.int32, name)
        self.top_k = _length(outputs, "ids", np.int32, name)
        _length(outputs, "scores", np.float32, name)
        self.size = _length(inputs, "bias", np.float32, name)
        self._no_bias = np.zeros((1, self.size), np.float32)
        self._dtypes = {key: _dtype(inputs, key, name) for key in inputs if key not in ("history", "bias")}
        for key, dtype in self._dtypes.items():
            length = _length(inputs, key, dtype, name)
            if length != self.history_length:
                raise ArtifactError(f"{name}: {key} has length {length}, but history has length {self.history_length}")
        self.activity_inputs = tuple(self._dtypes)

    def rank(
        self,
        history: np.ndarray,
        exclude: np.ndarray = NO_INDICES,
        bias: np.ndarray | None = None,
        **activity: Sequence[float] | np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best items.

        Args:
            history: int [H], item indices, oldest first. The model uses the last N.
            exclude: int [M], item indices to exclude. The items of the history are always excluded.
            bias: float32 [V], added to the score of each index, or None.
            activity: Values of the other inputs by name, in parallel with the history: numbers [H], such as `ratings`,
                NaN if unknown; indices of words [H], 0 if unknown; or `times` [H], seconds since 1970, 0 or NaN if
                unknown. A missing input is unknown. `ratings` and `times` are ignored if the model lacks them.

        Returns:
            int32 [k] and float32 [k], indices and scores of the k <= K best items, best first.

        Raises:
            ArtifactError: The model lacks an input of `activity`, its values are not numbers or not as many as the
                history has, or the file is broken.
        """
        inputs = self._history_inputs(history, activity)
        return self._ranked(RECOMMEND, **inputs, bias=self._bias(exclude, bias))

    def similar(
        self, item: int, exclude: np.ndarray = NO_INDICES, bias: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the items that are most similar to an item.

        Args:
            item: Index of an item.
            exclude: int [M], item indices to exclude. The item itself is always excluded.
            bias: float32 [V], added to the cosine of each index, or None.

        Returns:
            int32 [k] and float32 [k], indices and cosines of the k <= K most similar items, most similar first.

        Raises:
            ArtifactError: The file was pushed without this signature, or is broken.
        """
        return self._ranked(SIMILAR, item=np.array([[item]], np.int32), bias=self._bias(exclude, bias))

    def explain(self, history: np.ndarray, item: int, **activity: Sequence[float] | np.ndarray | None) -> np.ndarray:
        """Returns how much the score of an item falls without each of the latest items of a history.

        Args:
            history: int [H], item indices, oldest first. The model uses the last N.
            item: Index of an item.
            activity: See `rank`.

        Returns:
            float32 [min(H, N)], contributions of the last N items; 0 for items that were never left out.

        Raises:
            ArtifactError: The file was pushed without this signature, or see `rank`.
        """
        inputs = self._history_inputs(history, activity)
        outputs = self._run(EXPLAIN, **inputs, item=np.array([[item]], np.int32))
        contributions: np.ndarray = outputs["contributions"][0, : min(len(history), self.history_length)]
        return contributions

    def _run(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        if signature not in self._runners:
            raise ArtifactError(
                f"{self._name}: has no signature {signature!r}, only {', '.join(self.signatures)}; add {signature} to "
                f"pusher.signatures and push again"
            )
        try:
            with self._lock:
                outputs: dict[str, np.ndarray] = self._runners[signature](**inputs)
                return outputs
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"{self._name}: inference failed ({reason(error)}); {PUSH_AGAIN}") from None

    def _ranked(self, signature: str, **inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices and scores of the items that a signature ranks, without the empty places at the end."""
        outputs = self._run(signature, **inputs)
        ids, scores = outputs["ids"][0], outputs["scores"][0]
        is_item = ids >= FIRST_INDEX
        return ids[is_item], scores[is_item]

    def _history_inputs(
        self, history: np.ndarray, activity: Mapping[str, Sequence[float] | np.ndarray | None]
    ) -> dict[str, np.ndarray]:
        """Returns the inputs that describe a history, each [1, N]."""
        if missing := [key for key in activity if key not in self._dtypes and key not in (RATINGS, TIMES)]:
            available = ", ".join(self.activity_inputs) or "none"
            raise ArtifactError(f"{self._name}: has no input {', '.join(missing)}; available inputs: {available}")
        padded = {"history": self._padded(np.asarray(history, np.int32), np.int32(PADDING))}
        for key, dtype in self._dtypes.items():
            values = self._activity_values(key, activity.get(key), len(history))
            padded[key] = self._padded(values, UNKNOWN_VALUES[dtype])
        return padded

    def _activity_values(self, key: str, values: Sequence[float] | np.ndarray | None, length: int) -> np.ndarray:
        """Returns the values of an input for all items of a history, [length], in the type of the input."""
        dtype = self._dtypes[key]
        unknown = UNKNOWN_VALUES[dtype]
        if values is None:
            return np.full(length, unknown)
        # NumPy would convert text and truth values.
        for value in values if np.iterable(values) else ():
            if isinstance(value, (str, bytes, bool)):
                raise ArtifactError(f"{self._name}: {key}: expected numbers, found {shown(value)}")
        try:
            numbers = np.asarray(values, np.float64)  # None becomes NaN.
        except (TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"{self._name}: {key}: expected numbers ({error})") from None
        if numbers.shape != (length,):
            size = f"{len(numbers)} values" if numbers.ndim == 1 else f"an array of shape {list(numbers.shape)}"
            raise ArtifactError(f"{self._name}: {key}: {size} for a history of {length} items")
        too_large = numbers[np.abs(numbers) > (LARGEST_TIME if key == TIMES else LARGEST[dtype])]
        if len(too_large):
            raise ArtifactError(f"{self._name}: {key}: {too_large[0]:g} is too large; use None for an unknown value")
        numbers = np.where(np.isnan(numbers), unknown, numbers)
        # Times after 2038 wrap around, which leaves the differences between times unchanged.
        return numbers.astype(np.int64).astype(np.int32) if dtype is np.int32 else numbers.astype(np.float32)

    def _bias(self, exclude: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        """Returns a bias that also excludes items, [1, V]."""
        if bias is None and not len(exclude):
            return self._no_bias
        try:
            result = self._no_bias.copy() if bias is None else np.array(bias, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise ArtifactError(f"{self._name}: bias: expected {self.size} numbers, found {shown(bias)}") from None
        if result.shape not in ((self.size,), (1, self.size)):
            size = f"{len(result)} values" if result.ndim == 1 else f"shape {list(result.shape)}"
            raise ArtifactError(f"{self._name}: a bias of {size} for {self.size} indices")
        result = result.reshape(1, self.size)
        if not np.isfinite(result).all():
            raise ArtifactError(f"{self._name}: the bias has values that are not finite")
        result[0, exclude[(exclude >= 0) & (exclude < self.size)]] = EXCLUDED
        return result

    def _padded(self, values: np.ndarray, padding: np.generic) -> np.ndarray:
        """Returns the last N of [H] values, then padding, [1, N]."""
        recent = values[-self.history_length :]
        padded = np.full((1, self.history_length), padding)
        padded[0, : len(recent)] = recent
        return padded


def _dtype(inputs: dict[str, Any], key: str, name: str) -> type:
    """Returns the type that an input must have; an input other than ratings and times may be float32 or int32."""
    if key in (RATINGS, TIMES):
        return np.float32 if key == RATINGS else np.int32
    dtype: type = inputs[key]["dtype"]
    if dtype not in UNKNOWN_VALUES:
        raise ArtifactError(f"{name}: {key} is {dtype.__name__}, expected float32 or int32")
    return dtype


def _length(tensors: dict[str, Any], key: str, dtype: type, name: str) -> int:
    """Returns the second dimension of a tensor, which must be `dtype` [1, length]."""
    tensor = tensors.get(key)
    if tensor is None:
        raise ArtifactError(f"{name}: has no tensor {key!r}, only {', '.join(tensors)}; not a model of this pipeline")
    shape = tensor["shape_signature"].tolist()
    if tensor["dtype"] is not dtype or len(shape) != 2 or shape[0] != 1:
        actual = f"{tensor['dtype'].__name__} {shape}"
        raise ArtifactError(f"{name}: {key} is {actual}, expected {dtype.__name__} [1, length]")
    return int(shape[1])
