"""Pushed models whose answers depend on all picks and their order, and servers of their demo."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from on_device.artifact import open_artifact
from on_device.demo.runtime import find_runtime, packages, runtime_files
from on_device.demo.server import DemoServer
from on_device.errors import ArtifactError
from tests.on_device.artifacts import write_info
from tests.on_device.servers import running
from tests.tflite import convert_functions

ITEMS, HISTORY_LENGTH, TOP_K = 60, 5, 20
TITLES = (
    "Toy Story (1995)",
    "Matrix, The (1999)",
    "Amélie (2001)",
    "Léon: The Professional (1994)",
    "Heat (1995)",
    "Toy Story 2 (1999)",
    "Nikita (1990)",
    "Schindler's List (1993)",
    "<b>Bold</b> & Co. (1998)",
)
GENRES = (["Comedy"], ["Action", "Sci-Fi"], ["Romance"], ["Crime", "Drama"], [])


class Taste(tf.Module):
    """Scores items by their similarity to a weighted sum of the picks, with larger weights for later picks.

    Args:
        activity: Whether ratings and times change the weights.
    """

    def __init__(self, activity: bool):
        super().__init__()
        self.activity = activity
        self.items = tf.constant(np.random.default_rng(7).normal(size=(ITEMS + 2, 8)), tf.float32)
        self.weights = tf.constant(np.linspace(0.6, 1.4, HISTORY_LENGTH)[None, :, None], tf.float32)

    def scores(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        is_pick = inputs["history"] >= 2
        weights = tf.where(is_pick[:, :, None], self.weights, 0.0)
        if self.activity:
            ratings = tf.where(tf.math.is_nan(inputs["ratings"]), 3.0, inputs["ratings"])
            weights *= (ratings + tf.cast(inputs["times"] > 0, tf.float32))[:, :, None]
        taste = tf.reduce_sum(tf.gather(self.items, inputs["history"]) * weights, axis=1)
        popularity = -tf.range(ITEMS + 2, dtype=tf.float32)[None, :] / ITEMS
        scores = tf.where(tf.reduce_any(is_pick), tf.matmul(taste, self.items, transpose_b=True), popularity)
        return tf.concat([tf.fill([1, 2], -1e9), scores[:, 2:]], axis=1)

    def convert(self) -> bytes:
        def recommend(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            picks = inputs["history"][0]
            scores = tf.tensor_scatter_nd_update(self.scores(inputs)[0], picks[:, None], tf.fill(tf.shape(picks), -1e9))
            best, ids = tf.math.top_k(scores[None, :] + inputs["bias"], TOP_K)
            return {"ids": tf.where(best > -1e4, ids, -1), "scores": best}

        def similar(item: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
            directions = self.items / tf.norm(self.items, axis=1, keepdims=True)
            cosines = tf.matmul(tf.gather(directions, item[0]), directions, transpose_b=True)
            cosines = tf.tensor_scatter_nd_update(cosines[0], [[0], [1], item[0]], [-1e9, -1e9, -1e9])
            best, ids = tf.math.top_k(cosines[None, :] + bias, TOP_K)
            return {"ids": tf.where(best > -1e4, ids, -1), "scores": best}

        def explain(item: tf.Tensor, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            def score(history: tf.Tensor) -> tf.Tensor:
                return tf.gather(self.scores(inputs | {"history": history})[0], item[0])

            positions = tf.range(HISTORY_LENGTH)
            history = inputs["history"]
            rest = [score(tf.where(positions == position, 0, history)) for position in range(HISTORY_LENGTH)]
            falls = tf.where(history >= 2, score(history) - tf.stack(rest, axis=1), 0.0)
            return {"contributions": falls}

        types = {"history": tf.int32, **({"ratings": tf.float32, "times": tf.int32} if self.activity else {})}
        history = {name: tf.TensorSpec([1, HISTORY_LENGTH], dtype, name) for name, dtype in types.items()}
        bias = {"bias": tf.TensorSpec([1, ITEMS + 2], tf.float32, "bias")}
        item = {"item": tf.TensorSpec([1, 1], tf.int32, "item")}
        return convert_functions(self, {recommend: history | bias, similar: item | bias, explain: history | item})


def _push(folder: Path, activity: bool) -> Path:
    folder.mkdir()
    (folder / "model.tflite").write_bytes(Taste(activity).convert())
    items = []
    for index in range(2, ITEMS + 2):
        title = TITLES[index - 2] if index - 2 < len(TITLES) else f"Film {index} ({1940 + index})"
        year = None if index == 6 else int(title[-5:-1])
        item = {"index": index, "id": str(1000 + index), "title": title, "genres": GENRES[index % len(GENRES)]}
        items.append({**item, "year": year, "count": 99 - index})
    (folder / "items.json").write_text(json.dumps({"format": 2, "items": items}), encoding="utf-8")
    info = {
        "format": 2,
        "pipeline": "films",
        "version": "3",
        "precision": "float32",
        "history_length": HISTORY_LENGTH,
        "top_k": TOP_K,
        "num_items": ITEMS,
    }
    write_info(folder, info)
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder."""
    return _push(tmp_path_factory.mktemp("serving") / "films", activity=False)


@pytest.fixture(scope="session")
def rated_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder whose model uses ratings and times."""
    return _push(tmp_path_factory.mktemp("serving") / "rated", activity=True)


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The folder of LiteRT.js."""
    try:
        return find_runtime()
    except ArtifactError as error:
        pytest.skip(f"no LiteRT.js: {error}")


@pytest.fixture(scope="session")
def fake_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of LiteRT.js, which contain only their names."""
    folder = tmp_path_factory.mktemp("node_modules")
    for file in runtime_files(packages()):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(f"// {file}")
    return folder


@pytest.fixture
def serve() -> Iterator[Callable[..., DemoServer]]:
    """Starts servers that stop at the end of the test."""
    with contextlib.ExitStack() as servers:

        def start(folder: Path, runtime: Path) -> DemoServer:
            server = DemoServer(open_artifact(folder), runtime)
            servers.enter_context(running(server))
            return server

        yield start
