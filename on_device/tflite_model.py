"""The model file: its two signatures, on item indices."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from on_device.artifact import AGAIN, FIRST_INDEX, MODEL, PADDING
from on_device.errors import ArtifactError

RECOMMEND, RECOMMEND_EXCLUDING = "recommend", "recommend_excluding"
RATINGS, TIMES = "ratings", "times"
# What stands for an activity of which that is not known.
NOT_GIVEN: dict[str, np.generic] = {RATINGS: np.float32(np.nan), TIMES: np.int32(0)}
# Anything larger is no rating or time, but a mistake.
LARGEST = {RATINGS: float(np.finfo(np.float32).max), TIMES: 2.0**62}
NOTHING = np.empty(0, np.int32)
LEAST_ROOM = 64  # items that are not wanted


class TFLiteModel:
    """A model file in memory. Threads may share one: their calls wait for each other.

    Args:
        content: of the `.tflite` file.
        name: of the file, for errors.
        threads: number of threads of one inference.
        xnnpack: whether XNNPACK computes what it can, as is the default of the runtime. Without it an answer takes
            several times as long.

    Attributes:
        history_length: number of items N that the model looks at.
        top_k: number of items K that it returns.
        activity_inputs: what it looks at besides the items of a history: `ratings`, `times`, both or neither.

    Raises:
        ArtifactError: not a model of this pipeline.
    """

    def __init__(self, content: bytes, name: str = MODEL, threads: int = 1, xnnpack: bool = True):
        kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        try:
            interpreter = Interpreter(model_content=content, num_threads=threads, experimental_op_resolver_type=kernels)
            self._recommend = interpreter.get_signature_runner(RECOMMEND)
            self._excluding = interpreter.get_signature_runner(RECOMMEND_EXCLUDING)
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(f"{name}: not a model file that this client can run ({reason})") from None
        self._lock = threading.Lock()
        self._room = LEAST_ROOM
        self._name = name
        self.history_length = _length(self._recommend.get_input_details(), "history", np.int32, name)
        self.top_k = _length(self._recommend.get_output_details(), "ids", np.int32, name)
        _length(self._recommend.get_output_details(), "scores", np.float32, name)
        _length(self._excluding.get_input_details(), "exclude", np.int32, name)
        self.activity_inputs = tuple(key for key in NOT_GIVEN if key in self._recommend.get_input_details())
        for key in self.activity_inputs:
            found = _length(self._recommend.get_input_details(), key, type(NOT_GIVEN[key]), name)
            if found != self.history_length:
                raise ArtifactError(f"{name}: {key} has length {found}, and history {self.history_length}")

    def rank(
        self, history: np.ndarray, exclude: np.ndarray = NOTHING, **activity: Sequence[float] | np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best items.

        Args:
            history: int [H], item indices, oldest first; of more than N the last N count.
            exclude: int [M], item indices that are not wanted; the history's never are.
            activity: what else is known of the history, in parallel: `ratings` float [H], NaN where unknown, and
                `times` int [H], seconds since 1970; 0 or NaN where unknown. What the model does not look at is ignored;
                what is missing counts as unknown.

        Returns:
            int32 [k] and float32 [k], indices and scores of the k <= K best items, best first.

        Raises:
            ArtifactError: `activity` is not of numbers, or not as long as the history; or the file is broken.
        """
        inputs = {"history": self._padded(np.asarray(history, np.int32), np.int32(PADDING))}
        for key in self.activity_inputs:
            inputs[key] = self._padded(self._activity(key, activity.get(key), len(history)), NOT_GIVEN[key])
        try:
            with self._lock:
                if len(exclude):
                    answer = self._excluding(**inputs, exclude=self._roomy(np.asarray(exclude, np.int32)))
                else:
                    answer = self._recommend(**inputs)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(f"{self._name}: cannot answer ({reason}); {AGAIN}") from None
        ids, scores = answer["ids"][0], answer["scores"][0]
        real = ids >= FIRST_INDEX
        return ids[real], scores[real]

    def _activity(self, key: str, values: Sequence[float] | np.ndarray | None, length: int) -> np.ndarray:
        """What is known of a history, [length] of the input's type."""
        nothing = NOT_GIVEN[key]
        if values is None:
            return np.full(length, nothing)
        try:
            numbers = np.asarray(values, np.float64)  # None becomes NaN.
        except (TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"{self._name}: {key} are not numbers ({error})") from None
        if numbers.shape != (length,):
            found = len(numbers) if numbers.ndim == 1 else f"an array {list(numbers.shape)} of"
            raise ArtifactError(f"{self._name}: {found} {key} for a history of {length} items")
        beyond = numbers[np.abs(numbers) > LARGEST[key]]
        if len(beyond):
            raise ArtifactError(f"{self._name}: {beyond[0]:g} among {key}; leave out what is not known")
        numbers = np.where(np.isnan(numbers), nothing, numbers)
        # Times later than 2038 wrap around, which no time between two activities feels.
        return numbers.astype(np.int64).astype(np.int32) if key == TIMES else numbers.astype(np.float32)

    def _roomy(self, exclude: np.ndarray) -> np.ndarray:
        """What is not wanted, then padding: [1, M].

        M only grows, by doubling: at another length the runtime plans the whole graph anew, which takes longer than to
        answer.
        """
        while self._room < len(exclude):
            self._room *= 2
        return np.pad(exclude, (0, self._room - len(exclude)), constant_values=PADDING)[None, :]

    def _padded(self, values: np.ndarray, padding: np.generic) -> np.ndarray:
        """The last N of [H] values, then padding: [1, N]."""
        recent = values[-self.history_length :]
        padded = np.full((1, self.history_length), padding)
        padded[0, : len(recent)] = recent
        return padded


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
