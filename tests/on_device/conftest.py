"""A pushed model with a rule from which every result follows.

The catalogue has 12 films with the indices 2 to 13. For a history, the model recommends the films that follow the last
film, in the order of indices; 2 follows 13. For an empty history it starts with 2. Scores are 12, 11, 10, ...; the
score of an excluded film is skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from on_device.tflite_model import SIGNATURES
from tests.on_device.artifacts import change_info, write_info
from tests.tflite import convert_functions

ITEMS, HISTORY_LENGTH, TOP_K = 12, 4, 10
TITLES = ("Toy Story (1995)", "Toy Story 2 (1999)", "Léon (1994)", "Heat (1995)", "Heat (1986)")


class NextFilms(tf.Module):
    """Recommends the films that follow the last film of a history."""

    def __init__(self, first: int = 2):
        super().__init__()
        index = np.arange(ITEMS + 2)
        scores = ITEMS - (index[None, :] - index[:, None] - 1) % ITEMS
        scores[:2] = ITEMS - (index - first) % ITEMS
        scores[:, :2] = -1e9
        self.scores = tf.constant(scores, tf.float32)

    def best(self, history: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        position = tf.reduce_max(tf.where(history[0] > 1, tf.range(1, HISTORY_LENGTH + 1), 0))
        scores = tf.gather(self.scores, tf.gather(tf.concat([[0], history[0]], axis=0), position))
        scores = tf.tensor_scatter_nd_update(scores, history[0][:, None], tf.fill(tf.shape(history[0]), -1e9))
        best, ids = tf.math.top_k(scores[None, :] + bias, TOP_K)
        return {"ids": tf.where(best > -1e4, ids, -1), "scores": best}

    def nearest(self, item: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns films by their distance from a film on the ring of indices, in either direction."""
        around = tf.maximum(self.scores, tf.transpose(self.scores))[2:, 2:] / ITEMS
        scores = tf.concat([[-1e9, -1e9], tf.gather(around, item[0, 0] - 2)], axis=0)
        scores = tf.tensor_scatter_nd_update(scores, item, [-1e9])
        best, ids = tf.math.top_k(scores[None, :] + bias, TOP_K)
        return {"ids": tf.where(best > -1e4, ids, -1), "scores": best}

    def reasons(self, history: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns contributions, which are zero for all films but the last."""
        positions = tf.where(history > 1, tf.range(1, HISTORY_LENGTH + 1), 0)
        scores = tf.gather(tf.gather(self.scores, history[0]), item[0, 0], axis=1)
        is_last = (positions > 0) & (positions == tf.reduce_max(positions))
        return {"contributions": tf.where(is_last, scores[None], 0.0)}

    def convert(self, name: str = "recommend", bias: str = "bias", signatures: Sequence[str] = SIGNATURES) -> bytes:
        """Returns the model file, with the given name of `recommend`, name of its bias, and signatures."""

        def recommend(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.best(inputs["history"], inputs[bias])

        def similar(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.nearest(inputs["item"], inputs["bias"])

        def explain(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.reasons(inputs["history"], inputs["item"])

        history = {"history": tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history")}
        item = {"item": tf.TensorSpec([1, 1], tf.int32, "item")}
        biases = {key: {key: tf.TensorSpec([1, ITEMS + 2], tf.float32, key)} for key in {bias, "bias"}}
        functions = {recommend: history | biases[bias], similar: item | biases["bias"], explain: history | item}
        chosen = {function: specs for function, specs in functions.items() if function.__name__ in signatures}
        recommend.__name__ = name
        return convert_functions(self, chosen)


@pytest.fixture(scope="session")
def convert() -> Callable[..., bytes]:
    """Converts the model with other arguments of `NextFilms.convert`."""
    return lambda **arguments: NextFilms().convert(**arguments)


@pytest.fixture(scope="session")
def pushed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder with versions 1 and 2; `latest` names 2. In version 1, popular films start with 7."""
    pipeline = tmp_path_factory.mktemp("serving") / "films"
    items: list[dict[str, Any]] = []
    for index in range(2, ITEMS + 2):
        title = TITLES[index - 2] if index - 2 < len(TITLES) else f"Film {index} (2000)"
        year = None if index == 4 else 1990 + index
        item = {"index": index, "id": str(1000 + index), "title": title, "genres": ["Drama", "War"], "year": year}
        items.append({**item, "count": 100 - index})
    for version, first in (("1", 7), ("2", 2)):
        folder = pipeline / version
        folder.mkdir(parents=True)
        (folder / "model.tflite").write_bytes(NextFilms(first).convert())
        (folder / "items.json").write_text(json.dumps({"format": 2, "items": items}), encoding="utf-8")
        info = {"format": 2, "version": version, "history_length": HISTORY_LENGTH, "top_k": TOP_K, "num_items": ITEMS}
        write_info(folder, info)
    (pipeline / "latest").write_text("2\n", encoding="utf-8")
    return pipeline


@pytest.fixture
def pushed(pushed_once: Path, tmp_path: Path) -> Path:
    """A copy of the folder, which tests may change."""
    return Path(shutil.copytree(pushed_once, tmp_path / "films"))


@pytest.fixture
def sign(pushed: Path) -> Callable[..., None]:
    """Renews the checksums of version 2, and changes properties of its `model_info.json`."""
    return lambda **changes: change_info(pushed / "2", **changes)


@pytest.fixture
def change_items(pushed: Path) -> Callable[[Callable[[list[dict[str, Any]]], Any]], None]:
    """Changes the items of version 2, and renews their number and checksum."""

    def change_items(change: Callable[[list[dict[str, Any]]], Any]) -> None:
        path = pushed / "2" / "items.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content["items"])
        path.write_text(json.dumps(content), encoding="utf-8")
        change_info(pushed / "2", num_items=len(content["items"]))

    return change_items
