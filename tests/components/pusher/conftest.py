"""A tiny recommender with known recommendations, and the artifacts that the Pusher reads.

30 items form a ring, with indices 2 to 31 and ids "101" to "130". The model recommends the items that follow the last
item of the history in the ring; for an empty history, it starts at the first item.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfx.dsl.io.filesystem_registry import DEFAULT_FILESYSTEM_REGISTRY
from tfx.dsl.io.plugins.tensorflow_gfile import TensorflowFilesystem
from tfx.types import Artifact, artifact_utils, standard_artifacts

from components import features
from components.artifacts import ItemCatalog
from components.evaluation import METRICS
from components.pusher import executor
from components.pusher.executor import Executor
from components.pusher.manifest import describe_files
from components.pusher.settings import PusherSettings

ITEMS, SIZE, HISTORY_LENGTH, TOP_K = 30, 32, 5, 12
FIRST_ID = 101
FORBIDDEN = -30_000.0

# Timelines, oldest first, and targets, by index. The third is longer than a history: 12 and 10 are not in it.
TEST_ROWS = (
    ([2, 3, 4], 5),  # rank 0
    ([10], 12),  # rank 1
    ([12, 10, 11, 3, 4, 5, 9], 15),  # rank 2, behind 13 and 14
    ([31, 2], 14),  # rank 11, the last of the list
    ([], 4),  # rank 2
    ([20], 900),  # not in the vocabulary
)
TEST_METRICS = {
    "recall_at_1": 1 / 6,
    "recall_at_5": 4 / 6,
    "recall_at_10": 4 / 6,
    "recall_at_50": 5 / 6,
    "ndcg_at_10": (1 + 1 / np.log2(3) + 1 / 2 + 1 / 2) / 6,
    "mrr": (1 + 1 / 2 + 1 / 3 + 1 / 12 + 1 / 3) / 6,
    "coverage_at_10": 29 / 30,  # all but 31
}


class RingModel(tf.Module):
    """Has the signatures of the Trainer's SavedModel; `step` -1 walks the ring backwards."""

    def __init__(self, step: int = 1):
        super().__init__()
        item = np.arange(SIZE)
        distance = step * (item[None, :] - item[:, None]) % ITEMS
        table = np.where(distance == 0, ITEMS, distance)
        table[: features.FIRST_INDEX] = item[None, :]
        self.table = tf.Variable((ITEMS - table).astype(np.float32))
        self.real_items = tf.constant(np.where(item < features.FIRST_INDEX, FORBIDDEN, 0), tf.float32)
        self.popularity = tf.constant(np.where(item < features.FIRST_INDEX, FORBIDDEN, -item), tf.float32)

    def recommend(self, history: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.best(history, history, bias)

    def best(self, history: tf.Tensor, excluded: tf.Tensor, bias: tf.Tensor | float = 0.0) -> dict[str, tf.Tensor]:
        positions = tf.where(history[0] > 1, tf.range(1, HISTORY_LENGTH + 1), 0)
        last = tf.gather(tf.concat([[0], history[0]], axis=0), tf.reduce_max(positions))
        forbidden = tf.fill(tf.shape(excluded[0]), FORBIDDEN)
        scores = tf.gather(self.table, last) + self.real_items
        scores = tf.tensor_scatter_nd_update(scores, excluded[0][:, None], forbidden)
        best, ids = tf.math.top_k(scores[None, :] + bias, TOP_K)
        return {"ids": tf.where(best > FORBIDDEN / 2, ids, -1), "scores": best}

    def similar(self, item: tf.Tensor, bias: tf.Tensor) -> dict[str, tf.Tensor]:
        """Items are more similar if they are nearer in the ring."""
        similarity = tf.maximum(self.table, tf.transpose(self.table)) / ITEMS + self.real_items
        scores = tf.where(tf.range(SIZE) == item[0], FORBIDDEN, tf.gather(similarity, item[0, 0]))
        best, ids = tf.math.top_k(scores[None, :] + bias, TOP_K)
        return {"ids": tf.where(best > FORBIDDEN / 2, ids, -1), "scores": best}

    def explain(self, history: tf.Tensor, item: tf.Tensor) -> dict[str, tf.Tensor]:
        """Only the last item of a history contributes."""
        scores = tf.gather(tf.gather(self.table, history[0]), item[0, 0], axis=1)
        places = tf.where(history > 1, tf.range(1, HISTORY_LENGTH + 1), 0)
        is_last = (places > 0) & (places == tf.reduce_max(places))
        return {"contributions": tf.where(is_last, scores[None], 0.0)}

    def encode_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {
            features.ITEM_ID: tf.io.RaggedFeature(tf.string),
            features.TARGET_ID: tf.io.FixedLenFeature([1], tf.string),
        }
        parsed = tf.io.parse_example(examples, spec)
        timeline = tf.ragged.map_flat_values(self.index, parsed[features.ITEM_ID])
        return {
            "history": timeline[:, -HISTORY_LENGTH:].to_tensor(shape=[None, HISTORY_LENGTH]),
            "timeline": timeline.to_tensor(),
            "left_out": timeline.to_tensor(),
            "target": self.index(parsed[features.TARGET_ID][:, 0]),
        }

    def index(self, ids: tf.Tensor) -> tf.Tensor:
        index = tf.strings.to_number(ids, tf.int32) - FIRST_ID + features.FIRST_INDEX
        return tf.where(index < SIZE, index, features.UNKNOWN)

    def rank(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = self.encode_examples(examples)
        seen_items = tf.reduce_max(tf.one_hot(encoded["timeline"], SIZE), axis=1)
        last = tf.reduce_sum(encoded["history"] * self.is_last(encoded["history"]), axis=1)
        outputs = {"num_items": tf.fill(tf.shape(last), ITEMS)}
        scores = {
            "": tf.gather(self.table, last) + self.real_items,
            "popularity_": tf.tile(self.popularity[None, :], [len(TEST_ROWS), 1]),
        }
        scores["markov_"] = scores["popularity_"]
        for prefix, unfiltered in scores.items():
            unseen_scores = tf.where(seen_items > 0, FORBIDDEN, unfiltered[: tf.shape(last)[0]])
            target_scores = tf.gather(unseen_scores, encoded["target"], batch_dims=1)
            ahead = tf.reduce_sum(tf.cast(unseen_scores > target_scores[:, None], tf.float32), axis=1)
            outputs[f"{prefix or 'target_'}rank"] = tf.where(target_scores > FORBIDDEN / 2, ahead, SIZE)
            outputs[f"{prefix}top_ids"] = tf.math.top_k(unseen_scores, 10).indices
        return outputs

    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        encoded = self.encode_examples(examples)
        rows = (encoded["history"], encoded["left_out"])
        return {"ids": tf.map_fn(lambda row: self.best(row[0][None], row[1][None])["ids"][0], rows, tf.int32)}

    def is_last(self, history: tf.Tensor) -> tf.Tensor:
        lengths = tf.reduce_sum(tf.cast(history > 0, tf.int32), axis=1)
        return tf.one_hot(lengths - 1, HISTORY_LENGTH, dtype=tf.int32)

    def save(self, folder: Path) -> None:
        examples = tf.TensorSpec([None], tf.string, "examples")
        history = tf.TensorSpec([1, HISTORY_LENGTH], tf.int32, "history")
        bias = tf.TensorSpec([1, SIZE], tf.float32, "bias")
        item = tf.TensorSpec([1, 1], tf.int32, "item")
        signatures = {
            "recommend": tf.function(self.recommend).get_concrete_function(history, bias),
            "similar": tf.function(self.similar).get_concrete_function(item, bias),
            "explain": tf.function(self.explain).get_concrete_function(history, item),
            "encode_examples": tf.function(self.encode_examples).get_concrete_function(examples),
            "rank": tf.function(self.rank).get_concrete_function(examples),
            "serving_default": tf.function(self.serve_examples).get_concrete_function(examples),
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)


@pytest.fixture(scope="session")
def ring() -> SimpleNamespace:
    """The model, and the constants that describe it."""
    return SimpleNamespace(
        Model=RingModel, rows=TEST_ROWS, metrics=TEST_METRICS, items=ITEMS, history_length=HISTORY_LENGTH, top_k=TOP_K
    )


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Artifact]]:
    """The inputs of the Pusher, with a blessing."""
    root = tmp_path_factory.mktemp("artifacts")
    artifacts = {
        "model": standard_artifacts.Model(),
        "model_blessing": standard_artifacts.ModelBlessing(),
        "evaluation": standard_artifacts.ModelEvaluation(),
        "catalog": ItemCatalog(),
        "examples": standard_artifacts.Examples(),
    }
    for number, (name, artifact) in enumerate(artifacts.items(), start=1):
        artifact.uri = str(root / name)
        artifact.id = number
    artifacts["model_blessing"].set_int_custom_property("blessed", 1)
    artifacts["examples"].split_names = artifact_utils.encode_split_names([features.EVAL, features.TEST])

    saved_model = root / "model" / "Format-Serving"
    RingModel().save(saved_model)
    ids = [str(FIRST_ID + item) for item in range(ITEMS)]
    model_facts = {
        "encoder": "bow",
        "history_length": HISTORY_LENGTH,
        "top_k": TOP_K,
        "dimension": 8,
        "activity_features": [],
        "activity_inputs": [],
        "parameters": SIZE * SIZE,
        "item_ids": ids,
        "item_counts": [1000 - item for item in range(ITEMS)],
        "settings": {"encoder": "bow"},
    }
    (saved_model / "model_facts.json").write_text(json.dumps(model_facts), encoding="utf-8")

    (root / "catalog").mkdir()
    # In another order than the model's, with an additional item, and with a Unicode line separator within a title.
    lines = [
        {"id": id_, "title": f"Fält\u2028{id_}", "genres": ["Drama"], "year": 1990} for id_ in ["7", *reversed(ids)]
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (root / "catalog" / "items.jsonl").write_text(text, encoding="utf-8")
    dataset = {"name": "ring", "fingerprint": "f00d", "ratings": 99, "users": 6, "items": 31, "duplicates": 0}
    (root / "catalog" / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")

    for split in (features.EVAL, features.TEST):
        (root / "examples" / f"Split-{split}").mkdir(parents=True)
        path = str(root / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for user, (timeline, target) in enumerate(TEST_ROWS):
                columns = {features.ITEM_ID: timeline, features.TARGET_ID: [target]}
                ids_of = {name: [str(i - 2 + FIRST_ID) for i in column] for name, column in columns.items()}
                writer.write(_example({features.USER_ID: [str(user)], **ids_of}))
    return {name: [artifact] for name, artifact in artifacts.items()}


def _example(columns: dict[str, list[str]]) -> bytes:
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
        for name, values in columns.items()
    }
    feature |= {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))
        for name in (features.HISTORY_BUCKET, features.POPULARITY_BUCKET)
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def simulate_evaluator(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Lets the Pusher read metrics that no Evaluator computed, and returns them."""
    metrics = {
        "unreachable": 1 / 6,
        "example_count": 6.0,
        **TEST_METRICS,
        **{f"popularity_{name}": 0.125 for name in METRICS},
    }
    monkeypatch.setattr(executor, "read_metrics", lambda uri: {"overall": metrics, "slices": {}})
    return metrics


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The simulated metrics of the Evaluator; tests may change them."""
    return simulate_evaluator(monkeypatch)


@pytest.fixture(scope="session")
def push_from(inputs: dict[str, list[Artifact]]) -> Callable[..., Artifact]:
    """Returns a function that runs the Pusher in a folder and returns its output.

    Models go to `serving/rings` in the folder, in one precision unless the settings name another or `auto`.
    """

    def run(
        folder: Path,
        settings: dict[str, Any] | None = None,
        push_root: Path | None = None,
        fail_unblessed: bool = False,
        **changed: Artifact,
    ) -> Artifact:
        pushed = standard_artifacts.PushedModel()
        pushed.uri = str(folder / "pushed_model")
        Executor().Do(
            {**inputs, **{name: [artifact] for name, artifact in changed.items()}},
            {"pushed_model": [pushed]},
            {
                "pipeline_name": "rings",
                "push_root": str(push_root or folder / "serving"),
                "settings": PusherSettings(**{"precision": "float32", **(settings or {})}).model_dump_json(),
                "code_version": "c0de",
                "fail_unblessed": int(fail_unblessed),
            },
        )
        return pushed

    return run


@pytest.fixture
def push(push_from: Callable[..., Artifact], tmp_path: Path) -> Callable[..., Artifact]:
    """Returns a function that runs the Pusher in the folder of the test."""
    return functools.partial(push_from, tmp_path)


@pytest.fixture(scope="session")
def pushed_once(push_from: Callable[..., Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version that was pushed with the default settings; tests only read it."""
    folder = tmp_path_factory.mktemp("pushed")
    with pytest.MonkeyPatch.context() as monkeypatch:
        simulate_evaluator(monkeypatch)
        push_from(folder, {"precision": "auto"})
    return folder / "serving" / "rings" / "1"


class Memory(TensorflowFilesystem):
    """The file system in memory. Without this class, an overwritten file keeps its old content."""

    SUPPORTED_SCHEMES = ["ram://"]

    @staticmethod
    def open(name: str, mode: str = "r"):
        if mode.startswith("w") and TensorflowFilesystem.exists(name):
            TensorflowFilesystem.remove(name)
        return TensorflowFilesystem.open(name, mode)


DEFAULT_FILESYSTEM_REGISTRY.register(Memory, priority=0)


@pytest.fixture
def root() -> str:
    """A bucket for this test only."""
    return f"ram://{uuid.uuid4().hex}/models"


@pytest.fixture
def stage() -> Callable[[Path, str], dict[str, Any]]:
    """Returns a function that writes the files of a valid version and returns its `model_info.json`."""

    def write(staging: Path, content: str = "model") -> dict[str, Any]:
        (staging / "model.tflite").write_text(content, encoding="utf-8")
        (staging / "items.json").write_text(json.dumps({"format": 2, "items": []}), encoding="utf-8")
        return {
            **{"format": 2, "pipeline": "rings", "history_length": 5, "top_k": 10, "num_items": 0},
            **describe_files(staging),
        }

    return write
