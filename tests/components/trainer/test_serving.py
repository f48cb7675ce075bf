"""The outputs of the SavedModel, and the TFLite file of every encoder, whose outputs must be the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.tools import flatbuffer_utils

from components import features
from components.pusher.convert import convert, convert_each
from components.pusher.operator_versions import oldest_runtime
from components.pusher.settings import Precision
from components.trainer.activity import TIME_GAP, ActivityFeature
from components.trainer.baselines import Transitions
from components.trainer.encoders import FORBIDDEN
from components.trainer.input_pipeline import Timelines
from components.trainer.model import RecommenderModel
from components.trainer.ranking import target_ranks
from components.trainer.serving import ServingModel
from components.trainer.settings import EncoderName, TrainerSettings
from on_device.tflite_model import TFLiteModel

SIZE, HISTORY, TOP_K = 42, 6, 30
COUNTS = np.concatenate([[0, 0], np.arange(SIZE - 2, 0, -1)])
ENCODERS = EncoderName.__args__
KNOWN = {
    "rating": ActivityFeature("rating", (1.5, 3.5)),
    "time_gap": TIME_GAP,
    "device": ActivityFeature("device", words=("phone", "tablet")),
    "k": ActivityFeature("k", (10.0, 20.0, 100_000.0)),
}
# Every encoder, the default one with its default member, and models with several members and activity features.
MODELS = {
    **{name: {"encoder": name, "members": []} for name in ENCODERS},
    "transformer": {},
    "activities": {"activity_features": ["rating", "time_gap", "device", "k"], "members": [{"encoder": "cnn"}]},
    "ratings": {"encoder": "cnn", "activity_features": ["rating"], "transition": False},
    "narrow": {"encoder": "cnn", "item_dimension": 4, "members": [{"encoder": "bow", "joint": True}]},
    "short": {
        "encoder": "transformer",
        "activity_features": ["time_gap"],
        "members": [{"encoder": "cnn", "look_back": 2, "joint": True, "transition": False}],
    },
}
PRECISIONS = get_args(Precision)
CONVERTED = [(name, precision) for name in MODELS for precision in PRECISIONS]
# Items i + 4, i + 2 and 2 follow item i, most frequent first; no items follow the last ones.
FOLLOWERS = [[i + 4, i + 2, 2] if 2 < i < SIZE - 4 else [] for i in range(SIZE)]
TRANSITIONS = Transitions(
    np.cumsum([0, *map(len, FOLLOWERS)]).astype(np.int32), np.concatenate(FOLLOWERS).astype(np.int32)
)
LATEST = 2**31 - 1  # the last second of 32 bits, in 2038


class FakeTransformOutput:
    """Uses integers as ids; the tests of the pipeline cover the Transform graph."""

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        integers = (features.ITEM_ID, features.TIMESTAMP, features.TARGET_ID)
        return {
            **{name: tf.io.VarLenFeature(tf.int64) for name in integers},
            **dict.fromkeys((features.RATING, features.ACTIVITY_NUMBERS), tf.io.VarLenFeature(tf.float32)),
            features.ACTIVITY_WORDS: tf.io.VarLenFeature(tf.int64),
        }

    def transform_features_layer(self):
        def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            def last(name: str) -> tf.Tensor:
                return tf.RaggedTensor.from_sparse(raw[name])[:, -HISTORY:].to_tensor(0, shape=(None, HISTORY))

            return {
                features.TIMELINE: raw[features.ITEM_ID],
                features.HISTORY: last(features.ITEM_ID),
                features.HISTORY_RATING: last(features.RATING),
                features.HISTORY_TIME: last(features.TIMESTAMP),
                "history_word_device": last(features.ACTIVITY_WORDS),
                "history_number_column_k": last(features.ACTIVITY_NUMBERS),
                features.TARGET: tf.sparse.to_dense(raw[features.TARGET_ID]),
            }

        return transform


def followers_of(item: int) -> list[int]:
    """Returns the followers of an item in the train split, most frequent first."""
    return FOLLOWERS[item]


def ratings_of(timeline: list[int]) -> list[float]:
    """Returns ratings that depend only on the items, as the times of `times_of` do."""
    return [float(item % 5) for item in timeline]


def times_of(timeline: list[int]) -> list[int]:
    return np.cumsum([1_000_000_000, *(item**4 for item in timeline[1:])])[: len(timeline)].tolist()


def devices_of(timeline: list[int]) -> list[int]:
    return [item % 4 for item in timeline]


def numbers_of(timeline: list[int]) -> list[float]:
    return [item * 1.5 if item % 5 else float("nan") for item in timeline]


def serialize(timeline: list[int], target: int) -> bytes:
    integers = {features.ITEM_ID: timeline, features.TIMESTAMP: times_of(timeline), features.TARGET_ID: [target]}
    integers[features.ACTIVITY_WORDS] = devices_of(timeline)
    floats = {features.RATING: ratings_of(timeline), features.ACTIVITY_NUMBERS: numbers_of(timeline)}
    feature = {k: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for k, v in integers.items()}
    feature |= {k: tf.train.Feature(float_list=tf.train.FloatList(value=v)) for k, v in floats.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def build(folder: Path, **settings: object) -> SimpleNamespace:
    """Returns a model with random weights, its loaded SavedModel, its inputs, and a function that returns its files."""
    settings = TrainerSettings(**{"dimension": 8, "blocks": 1, "top_k": TOP_K, "seed": 3, **settings})
    known = [KNOWN[name] for name in settings.activity_features]
    model = RecommenderModel(settings, HISTORY, COUNTS, activity_features=known)
    random = np.random.default_rng(8)
    model.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in model.get_weights()])
    ServingModel(model, FakeTransformOutput(), TRANSITIONS).save(str(folder))
    loaded = tf.saved_model.load(str(folder))
    return SimpleNamespace(
        model=model,
        loaded=loaded,
        inputs=set(loaded.signatures["recommend"].structured_input_signature[1]),
        files=functools.cache(lambda: dict(zip(PRECISIONS, convert_each(loaded, PRECISIONS), strict=True))),
    )


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], SimpleNamespace]:
    """Returns a function that builds a model of `MODELS` once."""
    return functools.cache(lambda name: build(tmp_path_factory.mktemp("saved"), **MODELS[name]))


@pytest.fixture(scope="module", params=MODELS)
def saved(request: pytest.FixtureRequest, model_of: Callable[[str], SimpleNamespace]) -> SimpleNamespace:
    return model_of(request.param)


def histories(count: int) -> list[dict[str, np.ndarray]]:
    """Returns histories as the device sends them: items, ratings, times and columns, each [N]."""
    random = np.random.default_rng(2)
    rows = [random.permutation(SIZE - 2)[: random.integers(1, HISTORY + 1)] + 2 for _ in range(count)]
    return [history_of(row.tolist()) for row in rows]


def history_of(timeline: list[int]) -> dict[str, np.ndarray]:
    columns = {"history": (timeline, np.int32), "ratings": (ratings_of(timeline), np.float32)}
    columns |= {"times": (times_of(timeline), np.int32), "device": (devices_of(timeline), np.int32)}
    columns["column_k"] = (numbers_of(timeline), np.float32)
    return {
        name: np.array((values[-HISTORY:] + [0] * HISTORY)[:HISTORY], dtype)
        for name, (values, dtype) in columns.items()
    }


def recommend(saved: SimpleNamespace, history: dict[str, np.ndarray], **more: np.ndarray) -> tuple:
    inputs = {name: values for name, values in history.items() if name in saved.inputs}
    more.setdefault("bias", np.zeros(SIZE, np.float32))
    outputs = saved.loaded.signatures["recommend"](
        **{name: tf.constant(values[None, :]) for name, values in (inputs | more).items()}
    )
    return outputs["ids"].numpy()[0], outputs["scores"].numpy()[0]


def scores_by_hand(model: RecommenderModel, history: dict[str, np.ndarray]) -> np.ndarray:
    items, ratings, times, device, number = (values[None, :] for values in history.values())
    activities = {"items": items, "ratings": ratings, "times": times, "device": device, "column_k": number}
    tables = model.tables()
    contexts, _ = model.read_out(activities, tables.embed)
    return (np.asarray(contexts) @ np.asarray(tables.labels).T)[0]


def test_recommendations_are_the_best_unseen_items(saved):
    for history in histories(20):
        ids, scores = recommend(saved, history)
        by_hand = scores_by_hand(saved.model, history)
        unseen = sorted(set(range(2, SIZE)) - set(history["history"].tolist()), key=lambda item: -by_hand[item])
        np.testing.assert_allclose(scores, by_hand[unseen[:TOP_K]], rtol=1e-4, atol=1e-5)
        assert set(ids.tolist()) <= set(unseen)


def test_the_inputs_are_those_that_the_model_uses(saved):
    input_names = {"rating": "ratings", "time_gap": "times", "device": "device", "k": "column_k"}
    activity_features = saved.model.settings.activity_features
    assert saved.inputs == {"history", "bias", *(input_names[name] for name in activity_features)}
    encoded = saved.loaded.signatures["encode_examples"](examples=tf.constant([serialize([3, 5], 4)]))
    assert set(encoded) == {*saved.inputs, "timeline", "left_out", "target"} - {"bias"}
    for name in saved.inputs - {"bias"}:
        np.testing.assert_array_equal(encoded[name].numpy()[0], history_of([3, 5])[name])
        assert encoded[name].dtype == (tf.float32 if name in ("ratings", "column_k") else tf.int32)


def test_an_empty_history_returns_the_popularity_list(saved):
    ids, _ = recommend(saved, history_of([]))
    assert ids.tolist() == list(range(2, 2 + TOP_K))
    unknown, _ = recommend(saved, history_of([features.UNKNOWN] * HISTORY))
    assert unknown.tolist() == ids.tolist()


def test_excluded_items_are_missing_and_empty_places_are_marked(saved):
    history = histories(1)[0]
    exclude = np.arange(2, 20, dtype=np.int32)
    bias = np.zeros(SIZE, np.float32)
    bias[exclude] = FORBIDDEN
    ids, _ = recommend(saved, history, bias=bias)
    allowed = set(range(2, SIZE)) - set(history["history"].tolist()) - set(exclude.tolist())
    assert set(ids[: len(allowed)].tolist()) == allowed
    assert (ids[len(allowed) :] == -1).all() and len(allowed) < TOP_K


def test_rank_agrees_with_a_brute_force(saved):
    random = np.random.default_rng(6)
    rows = [random.permutation(SIZE - 2)[: random.integers(0, 12)] + 2 for _ in range(30)]
    targets = [int(random.integers(1, SIZE)) for _ in rows]
    examples = [serialize(row.tolist(), target) for row, target in zip(rows, targets, strict=True)]
    outputs = {key: value.numpy() for key, value in saved.loaded.signatures["rank"](examples=examples).items()}
    for number, (row, target) in enumerate(zip(rows, targets, strict=True)):
        scores = scores_by_hand(saved.model, history_of(row.tolist())) if len(row) else COUNTS.astype(float)
        unseen = [item for item in range(2, SIZE) if item not in set(row.tolist())]
        followers = followers_of(int(row[-1])) if len(row) else []
        by_markov = [item for item in [*followers, *unseen] if item in unseen]
        by_markov = list(dict.fromkeys(by_markov))
        if target in unseen:
            assert outputs["markov_rank"][number] == by_markov.index(target)
            assert outputs["target_rank"][number] == sum(scores[item] > scores[target] for item in unseen)
            assert outputs["popularity_rank"][number] == unseen.index(target)
        else:
            ranks = [outputs[f"{name}_rank"][number] for name in ("target", "popularity", "markov")]
            assert ranks == [SIZE] * 3
        assert outputs["popularity_top_ids"][number].tolist() == unseen[:10]
        assert outputs["markov_top_ids"][number].tolist() == by_markov[:10]
    assert set(outputs["num_items"].tolist()) == {SIZE - 2}


def test_a_user_with_100_000_activities_does_not_change_the_ranks_of_another(saved):
    heavy = [item % 20 + features.FIRST_INDEX for item in range(100_000)]
    examples = [serialize(heavy, 40), serialize([3, 5], 4)]
    rank = saved.loaded.signatures["rank"]
    together, separate = rank(examples=examples), [rank(examples=[example]) for example in examples]
    for name in ("target_rank", "popularity_rank", "popularity_top_ids", "markov_rank", "markov_top_ids"):
        np.testing.assert_array_equal(together[name], np.concatenate([outputs[name] for outputs in separate]))
    assert not set(heavy) & set(together["popularity_top_ids"].numpy()[0].tolist())
    assert together["target_rank"].numpy()[0] < SIZE - 2 - len(set(heavy))


def test_early_stopping_has_the_same_ranks_as_the_saved_model(saved, timelines_of):
    random = np.random.default_rng(9)
    rows = [(random.permutation(SIZE - 2)[: random.integers(0, 12)] + 2).tolist() for _ in range(40)]
    targets = random.integers(1, SIZE, len(rows)).tolist()
    ratings_and_times = {"ratings": [ratings_of(row) for row in rows], "times": [times_of(row) for row in rows]}
    data = timelines_of(rows, targets, **ratings_and_times)
    flat = [item for row in rows for item in row]
    columns = {"device": np.array(devices_of(flat), np.int32), "column_k": np.array(numbers_of(flat), np.float32)}
    data = dataclasses.replace(data, activities={**data.activities, **columns})
    examples = [serialize(row, target) for row, target in zip(rows, targets, strict=True)]
    outputs = saved.loaded.signatures["rank"](examples=tf.constant(examples))
    assert target_ranks(saved.model, data).tolist() == outputs["target_rank"].numpy().tolist()


def test_equally_popular_items_rank_in_the_order_of_the_vocabulary():
    # Without a history, the model returns the popularity list, so it must not rank better than that list.
    counts = np.array([0, 0, *[3] * 5, *[1] * (SIZE - 7)])
    model = RecommenderModel(TrainerSettings(encoder="bow", dimension=8, top_k=TOP_K), HISTORY, counts)
    serving = ServingModel(model, FakeTransformOutput())
    outputs = serving.rank(tf.constant([serialize([], target) for target in range(2, SIZE)]))
    assert outputs["target_rank"].numpy().tolist() == list(range(SIZE - 2))
    assert outputs["popularity_rank"].numpy().tolist() == list(range(SIZE - 2))


def test_items_without_train_events_are_last_by_popularity_and_recommendable(tmp_path):
    counts = np.concatenate([COUNTS[:-4], np.zeros(4, np.int64)])
    genres = np.zeros((SIZE, 2), np.float32)
    genres[2:, 0], genres[-4:] = 1, [0, 1]
    settings = TrainerSettings(encoder="bow", members=(), dimension=8, top_k=TOP_K)
    model = RecommenderModel(settings, HISTORY, counts, {"genres": genres})
    serving = ServingModel(model, FakeTransformOutput())
    popular = serving.recommend(history=tf.zeros([1, HISTORY], tf.int32), bias=tf.zeros([1, SIZE]))["ids"].numpy()[0]
    assert popular.tolist() == list(range(2, 2 + TOP_K))
    history = tf.constant([[2, 3, 4, 5, 6, 7]])
    genre_table = next(weight for weight in model.weights if weight.name == "genres")
    genre_table.assign(tf.zeros([2, 8]))
    context = np.asarray(model.read_out({"items": history}, model.tables().embed)[0])[0]
    # No item of the history has the second genre, but its embedding matches the history.
    genre_table.assign([0 * context, context])
    serving = ServingModel(model, FakeTransformOutput())
    best = serving.recommend(history=history, bias=tf.zeros([1, SIZE]))["ids"][0, :4]
    assert {int(item) for item in best} == set(range(SIZE - 4, SIZE))


def test_labels_are_stored_once_even_if_a_member_also_uses_them_as_inputs(model_of):
    for precision, width in (("float32", 4), ("float16", 2), ("int8_tables", 1), ("dynamic_int8", 1)):
        content = model_of("short").files()[precision]
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        sizes = [0 if buffer.data is None else len(buffer.data) for buffer in model.buffers]
        inputs, labels = SIZE * 8 * width, SIZE * 16 * width
        assert (sizes.count(labels), sizes.count(inputs)) == (1, 1), precision


def test_items_are_stored_in_the_item_dimension(tmp_path):
    narrow = build(tmp_path, encoder="cnn", item_dimension=4, members=[], transition=False)
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(convert(narrow.loaded, "int8_tables", ("recommend",))))
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors if tensor.shape is not None]
    shapes = [list(tensor.shape) for tensor in tensors if model.buffers[tensor.buffer].data is not None]
    assert [SIZE, 4] in shapes and [SIZE, 8] not in shapes


@pytest.fixture(scope="module")
def expected_recommendations(saved) -> list[tuple]:
    """Returns histories with the recommendations of the SavedModel."""
    return [(history, *recommend(saved, history)) for history in histories(150)]


@pytest.mark.parametrize(("saved", "precision"), CONVERTED, indirect=["saved"], scope="module")
def test_the_file_has_the_same_recommendations_as_the_saved_model(saved, expected_recommendations, precision):
    content = saved.files()[precision]
    assert oldest_runtime(content) == "2.5.0"
    file = TFLiteModel(content)
    assert (file.history_length, file.top_k) == (HISTORY, TOP_K)
    assert {"history", "bias", *file.activity_inputs} == saved.inputs
    agreement = []
    tolerance = {"float32": 1e-4, "float16": 2e-2, "int8_tables": 0.5, "dynamic_int8": 0.5}[precision]
    for history, ids, scores in expected_recommendations:
        inputs = {name: values for name, values in history.items() if name in saved.inputs}
        file_ids, file_scores = file.rank(**inputs)
        assert not set(file_ids.tolist()) & {0, 1, *history["history"].tolist()}
        agreement.append(len(set(ids[:10].tolist()) & set(file_ids[:10].tolist())) / 10)
        np.testing.assert_allclose(file_scores[:10], scores[:10], atol=tolerance)
    assert file.rank(**inputs)[0].tolist() == file_ids.tolist(), "the same inputs again"
    min_agreement = {"float32": 0.999, "float16": 0.99, "int8_tables": 0.9, "dynamic_int8": 0.9}[precision]
    assert np.mean(agreement) >= min_agreement


@pytest.fixture(scope="module")
def activity_model(model_of: Callable[[str], SimpleNamespace]) -> SimpleNamespace:
    """Returns a model that uses ratings and times, and its file."""
    saved = model_of("activities")
    return SimpleNamespace(**vars(saved), file=TFLiteModel(saved.files()["float32"]))


def test_the_file_uses_ratings_and_times(activity_model):
    history, ratings, times = [5, 9, 13], [1.0, 2.0, 5.0], [1000, 1001, 90_000]
    rank = functools.partial(activity_model.file.rank, np.array(history))
    _, scores = rank(ratings=np.array(ratings), times=np.array(times))
    changed_inputs = {
        "other ratings": rank(ratings=np.array([5.0, 2.0, 5.0]), times=np.array(times)),
        "no ratings": rank(times=np.array(times)),
        "an unknown rating": rank(ratings=np.array([np.nan, 2.0, 5.0]), times=np.array(times)),
        "other times": rank(ratings=np.array(ratings), times=np.array([1000, 80_001, 90_000])),
        "no times": rank(ratings=np.array(ratings)),
        "an unknown time": rank(ratings=np.array(ratings), times=np.array([0, 1001, 90_000])),
    }
    for name, (_, changed_scores) in changed_inputs.items():
        assert np.abs(changed_scores - scores).max() > 1e-3, name


def test_the_file_treats_missing_columns_as_unknown(activity_model):
    history = np.array([5, 9, 13])
    unknown = activity_model.file.rank(history, ratings=np.full(3, np.nan), times=np.zeros(3, np.int64))
    for columns in ({}, {"ratings": None}, {"times": None, "ratings": np.full(3, np.nan)}):
        ids, scores = activity_model.file.rank(history, **columns)
        assert ids.tolist() == unknown[0].tolist()
        np.testing.assert_array_equal(scores, unknown[1])
    padded = np.array([5, 9, 13, 0, 0, 0], np.int32)
    zeros, missing = np.zeros(HISTORY, np.int32), np.full(HISTORY, np.nan, np.float32)
    sent = {"history": padded, "times": zeros, "device": zeros, "ratings": missing, "column_k": missing}
    np.testing.assert_allclose(unknown[1], recommend(activity_model, sent)[1][: len(unknown[1])], atol=1e-4)


def test_the_file_uses_only_the_gaps_between_times_even_after_2038(activity_model):
    history, gaps = np.array([5, 9, 13]), np.array([0, 86_400, 86_460])
    _, before = activity_model.file.rank(history, times=1_000_000_000 + gaps)
    for first in (2_000_000_000, LATEST, LATEST - 86_400, 2**32 + 5):
        np.testing.assert_allclose(activity_model.file.rank(history, times=first + gaps)[1], before, atol=1e-4)
    assert np.abs(activity_model.file.rank(history, times=LATEST + gaps // 2)[1] - before).max() > 1e-3


def test_the_file_uses_the_last_ratings_and_times_of_a_long_history(activity_model):
    random = np.random.default_rng(5)
    history = random.permutation(SIZE - 2)[:15] + 2
    ratings, times = random.integers(1, 6, 15), 1_000_000_000 + random.integers(1, 10**6, 15).cumsum()
    entire = activity_model.file.rank(history, ratings=ratings, times=times)
    last = activity_model.file.rank(history[-HISTORY:], ratings=ratings[-HISTORY:], times=times[-HISTORY:])
    assert entire[0].tolist() == last[0].tolist()
    np.testing.assert_array_equal(entire[1], last[1])


@pytest.fixture(scope="module")
def repeating(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Returns a model that recommends repeats."""
    return build(tmp_path_factory.mktemp("repeating"), **MODELS["bow"], repeats="recommend")


def test_repeats_are_recommended_if_the_settings_allow_them(model_of, repeating):
    timeline = [4, 5, 6, 5]
    for saved, expected in ((model_of("bow"), set()), (repeating, set(timeline))):
        outputs = saved.loaded.signatures["rank"](
            examples=tf.constant([serialize(timeline, item) for item in range(2, SIZE)])
        )
        candidates = set(range(2, SIZE)) if saved is repeating else set(range(2, SIZE)) - set(timeline)
        for name in ("target_rank", "popularity_rank", "markov_rank"):
            ranks = outputs[name].numpy().astype(int).tolist()
            assert sorted(rank for rank in ranks if rank < SIZE) == list(range(len(candidates)))
        ids = recommend(saved, history_of(timeline))[0]
        best = saved.loaded.signatures["serving_default"](examples=tf.constant([serialize(timeline, 2)]))["ids"][0]
        assert list(ids) == best.numpy().tolist()
        target_ranks_by_item = dict(
            zip(range(2, SIZE), outputs["target_rank"].numpy().astype(int).tolist(), strict=True)
        )
        assert {item for item in timeline if target_ranks_by_item[item] < SIZE} == expected


def test_the_gain_counts_once_for_each_item_of_the_history(repeating, tmp_path):
    """This holds in training, in both signatures of the SavedModel, and in the file."""
    plain, gaining = repeating, build(tmp_path, **MODELS["bow"], repeats="recommend", repeat_gain=1.5)
    timeline = [4, 5, 6, 5]
    history = history_of(timeline)
    expected = scores_by_hand(plain.model, history)
    expected[[4, 5, 6]] += 1.5
    order = [int(index) for index in np.lexsort((np.arange(SIZE), -expected)) if index >= 2]
    ids, scores = recommend(gaining, history)
    assert ids.tolist() == order[:TOP_K]
    np.testing.assert_allclose(scores, expected[ids], atol=1e-4)
    assert recommend(plain, history)[0].tolist() != ids.tolist()
    content = convert(gaining.loaded, "float32")
    assert oldest_runtime(content) == "2.5.0"
    file = TFLiteModel(content)
    assert file.rank(history["history"])[0].tolist() == order[:TOP_K]
    examples = tf.constant([serialize(timeline, item) for item in order])
    assert gaining.loaded.signatures["rank"](examples=examples)["target_rank"].numpy().tolist() == list(range(SIZE - 2))
    timelines = Timelines(
        {"items": np.array(timeline * (SIZE - 2), np.int32)},
        np.arange(SIZE - 1, dtype=np.int64) * 4,
        np.array(order, np.int32),
    )
    assert target_ranks(gaining.model, timelines).tolist() == list(range(SIZE - 2))
    # The contribution of the only 4 in the history to item 4 includes the gain.
    difference = file.explain(history["history"], 4)[0] - saved_model_contributions(plain, history, 4)[0]
    assert difference == pytest.approx(1.5, abs=1e-4)
    # The contribution of one of two 5s to item 5 does not.
    difference = file.explain(history["history"], 5)[1] - saved_model_contributions(plain, history, 5)[1]
    assert difference == pytest.approx(0.0, abs=1e-4)


def saved_model_contributions(saved: SimpleNamespace, history: dict[str, np.ndarray], item: int) -> np.ndarray:
    inputs = {"history": tf.constant(history["history"][None]), "item": tf.constant([[item]])}
    return saved.loaded.signatures["explain"](**inputs)["contributions"].numpy()[0]


@pytest.fixture(scope="module")
def float32_file(saved) -> TFLiteModel:
    """Returns the file with all signatures."""
    return TFLiteModel(saved.files()["float32"])


def test_similar_items_are_those_with_the_nearest_label_embeddings(saved, float32_file):
    tables = saved.model.tables().labels.numpy()
    directions = tables / np.linalg.norm(tables, axis=1, keepdims=True)
    file = float32_file
    for item in (2, 17, SIZE - 1):
        cosines = directions[2:] @ directions[item]
        expected = [int(index) for index in np.argsort(-cosines) + 2 if index != item][:10]
        ids, scores = file.similar(item)
        assert ids[:10].tolist() == expected and item not in ids
        np.testing.assert_allclose(scores, cosines[ids - 2], atol=1e-4)
        assert expected[0] not in file.similar(item, np.array(expected[:1]))[0]
    for item in (0, 1, SIZE, -3):
        assert not len(file.similar(item)[0])


def test_a_contribution_is_the_loss_of_score_without_the_item(saved, float32_file):
    file = float32_file
    bias = np.zeros(SIZE, np.float32)

    def score(history: dict[str, np.ndarray], item: int) -> float:
        """Returns the score of an item, which a bias moves to the first place."""
        bias[item] = 500
        ids, scores = file.rank(**history, bias=bias)
        bias[item] = 0
        assert ids[0] == item
        return float(scores[0]) - 500

    for inputs in histories(20):
        history = {name: values for name, values in inputs.items() if name in saved.inputs}
        items, target = history["history"], next(item for item in range(2, SIZE) if item not in inputs["history"])
        contributions = file.explain(item=target, **history)
        item_places = [place for place, item in enumerate(items) if item >= 2]
        for place in range(len(items)):
            if place not in item_places:
                assert contributions[place] == 0
                continue
            without = {**history, "history": np.where(np.arange(len(items)) == place, 0, items)}
            rest = score(without, target) if len(item_places) > 1 else 0.0
            assert contributions[place] == pytest.approx(score(history, target) - rest, abs=2e-3)
    assert not file.explain(items, 1).any() and not file.explain(items, SIZE).any()


def test_only_the_latest_ten_items_have_contributions(tmp_path):
    settings = TrainerSettings(encoder="bow", members=(), dimension=8, top_k=5)
    serving = ServingModel(RecommenderModel(settings, 14, COUNTS), FakeTransformOutput())
    history = tf.constant([[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0]])
    contributions = serving.explain(item=tf.constant([[20]]), history=history)["contributions"].numpy()[0]
    assert (contributions != 0).tolist() == [False] * 3 + [True] * 10 + [False]
