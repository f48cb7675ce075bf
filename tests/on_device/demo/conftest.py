"""Pushed models whose answers depend on every pick and on their order, served to a browser."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from on_device.artifact import open_artifact
from on_device.demo.server import DemoServer, make_site
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
    """The nearer to the sum of what was picked, the later the more, the better; with activity, what was liked more."""

    def __init__(self, activity: bool):
        super().__init__()
        self.activity = activity
        self.items = tf.constant(np.random.default_rng(7).normal(size=(ITEMS + 2, 8)), tf.float32)
        self.weights = tf.constant(np.linspace(0.6, 1.4, HISTORY_LENGTH)[None, :, None], tf.float32)

    def scores(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        picked = inputs["history"] >= 2
        weights = tf.where(picked[:, :, None], self.weights, 0.0)
        if self.activity:
            known = tf.where(tf.math.is_nan(inputs["ratings"]), 3.0, inputs["ratings"])
            weights *= (known + tf.cast(inputs["times"] > 0, tf.float32))[:, :, None]
        taste = tf.reduce_sum(tf.gather(self.items, inputs["history"]) * weights, axis=1)
        popularity = -tf.range(ITEMS + 2, dtype=tf.float32)[None, :] / ITEMS
        scores = tf.where(tf.reduce_any(picked), tf.matmul(taste, self.items, transpose_b=True), popularity)
        return tf.concat([tf.fill([1, 2], -1e9), scores[:, 2:]], axis=1)

    def convert(self) -> bytes:
        def recommend(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            unwanted = inputs["history"][0]
            scores = tf.tensor_scatter_nd_update(
                self.scores(inputs)[0], unwanted[:, None], tf.fill(tf.shape(unwanted), -1e9)
            )
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

            places = tf.range(HISTORY_LENGTH)
            history = inputs["history"]
            rest = [score(tf.where(places == place, 0, history)) for place in range(HISTORY_LENGTH)]
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
        genres = GENRES[index % len(GENRES)]
        items.append(
            {
                "index": index,
                "id": str(1000 + index),
                "title": title,
                "genres": genres,
                "year": year,
                "count": 99 - index,
            }
        )
    (folder / "items.json").write_text(json.dumps({"format": 2, "items": items}), encoding="utf-8")
    names = ("model.tflite", "items.json")
    info = {
        "format": 2,
        "pipeline": "films",
        "version": "3",
        "precision": "float32",
        "history_length": HISTORY_LENGTH,
        "top_k": TOP_K,
        "num_items": ITEMS,
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / "model_info.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder."""
    return _push(tmp_path_factory.mktemp("serving") / "films", activity=False)


@pytest.fixture(scope="session")
def rated_films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder; the model looks at ratings and times too."""
    return _push(tmp_path_factory.mktemp("serving") / "rated", activity=True)


@pytest.fixture
def serve() -> Iterator[Callable[..., DemoServer]]:
    """Starts servers that stop with the test."""
    running: list[tuple[DemoServer, threading.Thread]] = []

    def start(folder: Path, runtime: Path) -> DemoServer:
        server = DemoServer(make_site(open_artifact(folder), runtime))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()
