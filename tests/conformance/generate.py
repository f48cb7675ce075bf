"""Writes the conformance suite: a pushed model of 60 items and some 600 questions with their answers.

    .venv/bin/python -m tests.conformance.generate

`films/` is the model as the Pusher writes it, and `vectors.json` lists the questions. The answers do not come from a
client: NumPy computes them from the scores of the Keras model and from its label embeddings. Questions whose answer
depends on scores that are too close for float32 are left out.

`updates.json` lists broken downloads of a version. A client refuses each of them and keeps the model in use.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components import features
from components.pusher.convert import convert
from components.trainer.activity import TIME_GAP, ActivityFeature
from components.trainer.model import RecommenderModel
from components.trainer.serving import ServingModel
from components.trainer.settings import TrainerSettings
from on_device.artifact import FIRST_INDEX, FORMAT, UNKNOWN

FOLDER = Path(__file__).parent / "films"
VECTORS = Path(__file__).parent / "vectors.json"
UPDATES = Path(__file__).parent / "updates.json"
ITEMS, HISTORY_LENGTH, TOP_K, SEED = 60, 6, 20, 7
SIZE = ITEMS + FIRST_INDEX
WORDS = ("phone", "tablet", "Ünterwegs")
MIN_DIFFERENCE = 2e-3  # between neighbouring scores of an answer
MAX_REASONS = 10
# Titles with accents, apostrophes, other scripts and digits, and titles that look like ids. Other titles are numbered.
TITLES = {
    2: "Toy Story (1995)",
    3: "Léon: The Professional (1994)",
    4: "Le\u0301on, encore (1997)",  # the accent is a separate character
    5: "1003",  # the id of index 3
    6: "Schindler's List (1993)",
    7: "Schindler\u2019s Heirs (2001)",
    8: "Amélie (2001)",
    9: "千と千尋の神隠し (2001)",
    10: "Ωmega Man (1971)",
    11: "Toy Story 2 (1999)",
    12: "heat (1986)",
    13: "HEAT (1995)",
    14: "ﬁnal Cut (1998)",  # a ligature
    15: "Smile_and_Wave",
    16: "Straße nach Süden",
    17: "",
}
# Different ids that are equal after Unicode normalization or as numbers.
IDS = {20: "caf\u00e9", 21: "cafe\u0301", 22: "007", 23: "7"}


class PlainTransform:
    """Stands in for the Transform graph, which devices do not need."""

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        return {features.ITEM_ID: tf.io.VarLenFeature(tf.int64)}

    def transform_features_layer(self) -> Any:
        def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            items = tf.RaggedTensor.from_sparse(raw[features.ITEM_ID])
            history = items[:, -HISTORY_LENGTH:].to_tensor(0, shape=(None, HISTORY_LENGTH))
            names = (features.HISTORY, features.HISTORY_RATING, features.HISTORY_TIME, "history_word_device")
            return {
                features.TIMELINE: raw[features.ITEM_ID],
                **dict.fromkeys(names, history),
                features.TARGET: history[:, 0],
            }

        return transform


class Reference:
    """The answers, computed without a client and without a TFLite file.

    Args:
        serving: The model.
        labels: Its label embeddings, float32 [V, D].
        items: The catalogue.
    """

    def __init__(self, serving: ServingModel, labels: np.ndarray, items: list[dict[str, Any]]):
        self._serving, self._items = serving, items
        directions = labels / np.linalg.norm(labels, axis=1, keepdims=True)
        self._cosines = directions @ directions.T
        self.index = {item["id"]: item["index"] for item in items}

    def scores(self, history: list[str], activity: dict[str, list[Any]], omitted: int | None = None) -> np.ndarray:
        """Returns the scores of all indices, float32 [V], without the item at the omitted position of the history."""
        indices = [self.index.get(item, UNKNOWN) for item in history]
        if omitted is not None:
            indices[omitted] = 0
        columns: dict[str, tuple[list[Any], type, float]] = {
            "history": (indices, np.int32, 0),
            "ratings": (activity.get("ratings", [None] * len(history)), np.float32, np.nan),
            "times": (activity.get("times", [None] * len(history)), np.int32, 0),
            "device": ([self._word(word) for word in activity.get("device", [None] * len(history))], np.int32, 0),
        }
        inputs = {}
        for name, (values, dtype, padding) in columns.items():
            padded = np.full((1, HISTORY_LENGTH), padding, dtype)
            for position, value in enumerate(values[-HISTORY_LENGTH:]):
                padded[0, position] = padding if value is None else value
            inputs[name] = tf.constant(padded)
        result: np.ndarray = self._serving.scores(inputs).numpy()[0].astype(np.float64)
        return result

    @staticmethod
    def _word(word: str | None) -> int:
        return 0 if not word else WORDS.index(word) + FIRST_INDEX if word in WORDS else UNKNOWN

    def recommend(self, history: list[str], options: dict[str, Any]) -> list[tuple[str, float]] | None:
        """Returns ids and scores, or None if neighbouring scores are too close."""
        history_indices = {self.index[item] for item in history if item in self.index}
        candidates = self._ranked(self.scores(history, options.get("activity", {})), history_indices, options)[:TOP_K]
        k, diversity = options.get("k", 10), options.get("diversity", 0)
        if not diversity:
            return self._answer(candidates[: k + 1], k)
        values = [value for _, value in candidates]
        if not self._are_apart(values):
            return None
        selected: list[int] = []
        while len(selected) < min(k, len(candidates)):
            gains = {}
            for position, (index, value) in enumerate(candidates):
                span = values[0] - values[-1]
                relevance = (value - values[-1]) / span if span else 1.0
                nearest = max((self._cosines[index, candidates[chosen][0]] for chosen in selected), default=-1.0)
                if position not in selected:
                    gains[position] = (1 - diversity) * relevance - diversity * nearest if selected else relevance
            best = sorted(gains, key=lambda position: -gains[position])
            if len(best) > 1 and gains[best[0]] - gains[best[1]] < MIN_DIFFERENCE:
                return None
            selected.append(best[0])
        return [(self._id(candidates[position][0]), candidates[position][1]) for position in selected]

    def similar(self, item: str, options: dict[str, Any]) -> list[tuple[str, float]] | None:
        """Returns ids and cosines, or None if neighbouring cosines are too close."""
        index, k = self.index[item], options.get("k", 10)
        return self._answer(self._ranked(self._cosines[index].astype(np.float64), {index}, options)[: k + 1], k)

    def because(self, history: list[str], item: str, options: dict[str, Any]) -> list[tuple[str, float]] | None:
        """Returns ids and contributions, or None if neighbouring contributions are too close."""
        activity, target = options.get("activity", {}), self.index[item]
        recent = range(max(len(history) - HISTORY_LENGTH, 0), len(history))
        positions = [position for position in recent if history[position] in self.index]
        full = self.scores(history, activity)[target]
        reasons = []
        for position in positions[-MAX_REASONS:]:
            rest = self.scores(history, activity, position)[target] if len(positions) > 1 else 0.0
            reasons.append((history[position], full - rest))
        reasons.sort(key=lambda reason: -reason[1])
        return reasons if self._are_apart([value for _, value in reasons]) else None

    def _ranked(self, scores: np.ndarray, exclude: set[int], options: dict[str, Any]) -> list[tuple[int, float]]:
        scores = scores.copy()
        for item, value in options.get("boost", {}).items():
            if item in self.index:
                scores[self.index[item]] += value
        allowed = {self.index.get(item) for item in options["allow"]} if "allow" in options else set(range(SIZE))
        allowed -= exclude | {self.index.get(item) for item in options.get("deny", [])}
        order = sorted((index for index in range(FIRST_INDEX, SIZE) if index in allowed), key=lambda i: -scores[i])
        return [(index, float(scores[index])) for index in order]

    def _answer(self, ranked: list[tuple[int, float]], k: int) -> list[tuple[str, float]] | None:
        if not self._are_apart([value for _, value in ranked]):
            return None
        return [(self._id(index), value) for index, value in ranked[:k]]

    @staticmethod
    def _are_apart(values: list[float]) -> bool:
        return all(abs(a - b) > MIN_DIFFERENCE for a, b in itertools.pairwise(values))

    def _id(self, index: int) -> str:
        return str(self._items[index - FIRST_INDEX]["id"])


def make_items() -> list[dict[str, Any]]:
    """Returns the catalogue."""
    return [
        {
            "index": index,
            "id": IDS.get(index, str(1000 + index)),
            "title": TITLES.get(index, f"Film {index} ({1940 + index})"),
            "genres": [["Comedy"], ["Action", "Sci-Fi"], ["Romance"], []][index % 4],
            "year": None if index % 7 == 0 else 1940 + index,
            "count": 1000 - index,
        }
        for index in range(FIRST_INDEX, SIZE)
    ]


def make_model() -> RecommenderModel:
    """Returns a model with random weights and inputs for ratings, times and the device."""
    settings = TrainerSettings(
        encoder="transformer",
        dimension=8,
        blocks=1,
        heads=2,
        top_k=TOP_K,
        members=[{"encoder": "cnn", "joint": True}],
        activity_features=["rating", "time_gap", "device"],
    )
    activity_features = [ActivityFeature("rating", (1.5, 3.5)), TIME_GAP, ActivityFeature("device", words=WORDS)]
    counts = np.concatenate([[0, 0], np.arange(ITEMS, 0, -1)])
    model = RecommenderModel(settings, HISTORY_LENGTH, counts, activity_features=activity_features)
    generator = np.random.default_rng(SEED)
    model.set_weights([generator.normal(scale=0.4, size=weight.shape) for weight in model.get_weights()])
    return model


def write_artifact(serving: ServingModel, items: list[dict[str, Any]]) -> None:
    """Writes the pushed model."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as saved:
        serving.save(saved)
        (FOLDER / "model.tflite").write_bytes(convert(tf.saved_model.load(saved), "float32"))
    text = json.dumps({"format": FORMAT, "items": items}, ensure_ascii=False, indent=1)
    (FOLDER / "items.json").write_text(text + "\n", encoding="utf-8")
    info = {
        "format": FORMAT,
        "pipeline": "films",
        "version": "1",
        "min_runtime": "2.5.0",
        "history_length": HISTORY_LENGTH,
        "top_k": TOP_K,
        "num_items": ITEMS,
        "activity_inputs": [{"input": "device", "kind": "word", "words": list(WORDS)}],
        "recommends_seen": False,
        "sha256": {
            name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in ("model.tflite", "items.json")
        },
    }
    (FOLDER / "model_info.json").write_text(json.dumps(info, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make_vectors(reference: Reference, generator: random.Random) -> list[dict[str, Any]]:
    """Returns the questions with their answers."""
    ids = list(reference.index)
    vectors: list[dict[str, Any]] = []

    def history() -> list[str]:
        length = generator.choice([0, 1, 2, 3, 5, 6, 7, 9, 14])
        return [
            *(
                generator.choice(["gone", "x-1"]) if generator.random() < 0.1 else item
                for item in generator.sample(ids, length)
            )
        ]

    def choice() -> dict[str, Any]:
        options: dict[str, Any] = {}
        if generator.random() < 0.6:
            options["k"] = generator.randint(1, TOP_K)
        if generator.random() < 0.4:
            options["allow"] = [*generator.sample(ids, generator.choice([0, 1, 5, 30])), "gone"]
        if generator.random() < 0.4:
            options["deny"] = [*generator.sample(ids, generator.randint(0, 8)), "gone"]
        if generator.random() < 0.4:
            options["boost"] = {
                item: round(generator.uniform(-3, 3), 2) for item in [*generator.sample(ids, 3), "gone"]
            }
        return options

    def activity(length: int) -> dict[str, Any]:
        columns = {
            "ratings": [generator.choice([None, 1, 2.5, 4, 5]) for _ in range(length)],
            "times": [generator.choice([None, 1_600_000_000 + generator.randint(0, 10**7)]) for _ in range(length)],
            "device": [generator.choice([None, "", "toaster", *WORDS]) for _ in range(length)],
        }
        return {"activity": {name: columns[name] for name in columns if generator.random() < 0.6}}

    def add(expected: list[tuple[str, float]] | None, **question: Any) -> None:
        if expected is not None:
            vectors.append({**question, "expected": [[item, round(value, 5)] for item, value in expected]})

    for number in range(420):
        items = history()
        options = {**choice(), **(activity(len(items)) if number % 3 == 0 else {})}
        if number % 4 == 1:
            options["diversity"] = generator.choice([0.1, 0.3, 0.5, 0.9, 1])
        add(reference.recommend(items, options), kind="recommend", history=items, options=options)
    for _ in range(110):
        item, options = generator.choice(ids), choice()
        add(reference.similar(item, options), kind="similar", item=item, options=options)
    for number in range(120):
        items, item = history(), generator.choice(ids)
        options = activity(len(items)) if number % 2 else {}
        add(reference.because(items, item, options), kind="because", history=items, item=item, options=options)
    for invalid in ({"k": 0}, {"k": TOP_K + 1}, {"diversity": -0.1}, {"diversity": 1.5}, {"boost": {"1002": 1001}}):
        vectors.append({"kind": "recommend", "history": ["1002"], "options": invalid, "error": True})
    vectors.append(
        {"kind": "recommend", "history": ["1002"], "options": {"activity": {"ratings": [1, 2]}}, "error": True}
    )
    vectors.append({"kind": "recommend", "history": ["1002"], "options": {"activity": {"mood": [1]}}, "error": True})
    vectors.append({"kind": "similar", "item": "gone", "options": {}, "error": True})
    vectors.append({"kind": "because", "history": ["1002"], "item": "gone", "options": {}, "error": True})
    return [*vectors, *_title_questions()]


def _title_questions() -> list[dict[str, Any]]:
    """Returns questions about titles, with answers written by hand."""
    searches = {
        "leon": ["1003", "1004"],
        "LÉON": ["1003", "1004"],
        "le\u0301on enc": ["1004"],
        "toy sto": ["1002", "1011"],
        "story toy 2": ["1011"],
        "oy": [],
        "schindlers": ["1006", "1007"],
        "schindler\u2019s l": ["1006"],
        "amelie": ["1008"],
        "千と": ["1009"],
        "ωmega": ["1010"],
        "heat": ["1012", "1013"],
        "final": ["1014"],
        "wave smile": ["1015"],
        "sud": ["1016"],
        "1003": ["1005"],
        "no such film": [],
        "film 6": ["1060", "1061"],
    }
    titles = {
        "toy story (1995)": "1002",
        "Leon The Professional 1994": "1003",
        "1003": "1005",
        "Heat 1995": "1013",
        "amelie 2001": "1008",
        "Toy Story": None,
        "!": "1017",
    }
    return [
        *({"kind": "search", "text": text, "expected": ids} for text, ids in searches.items()),
        *({"kind": "titled", "text": text, "expected": item} for text, item in titles.items()),
    ]


def make_updates(generator: random.Random) -> list[dict[str, Any]]:
    """Returns changes to the downloaded files of a version, after each of which it must not be installed."""
    sizes = {path.name: path.stat().st_size for path in sorted(FOLDER.iterdir())}
    names = list(sizes)
    changes: list[dict[str, Any]] = []
    for _ in range(40):
        # A changed byte of `model_info.json` may do no harm: the checksums cover only the other two files.
        name = generator.choice(["items.json", "model.tflite"])
        changes.append({"file": name, "change": "flip", "at": generator.randrange(sizes[name])})
    for _ in range(30):
        name = generator.choice(names)
        changes.append({"file": name, "change": "truncate", "at": generator.randrange(sizes[name] - 3)})
        name = generator.choice(names)
        changes.append({"file": name, "change": "interrupt", "at": generator.randrange(sizes[name])})
    changes += [{"file": name, "change": "missing"} for name in names]
    info = "model_info.json"
    for key, value in (("format", 3), ("format", None), ("min_runtime", "99.0.0"), ("num_items", 61), ("top_k", 21)):
        changes.append({"file": info, "change": "set", "key": key, "value": value})
    return changes


def main() -> int:
    """Writes the suite; returns the exit code."""
    model, items = make_model(), make_items()
    serving = ServingModel(model, PlainTransform())
    write_artifact(serving, items)
    reference = Reference(serving, model.tables().labels.numpy(), items)
    vectors = make_vectors(reference, random.Random(SEED))
    lines = ",\n ".join(json.dumps(vector, ensure_ascii=False) for vector in vectors)
    VECTORS.write_text(f"[{lines}]\n", encoding="utf-8")
    updates = make_updates(random.Random(SEED))
    UPDATES.write_text(json.dumps(updates, indent=1) + "\n", encoding="utf-8")
    print(f"{len(vectors)} questions, {len(updates)} broken updates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
