"""The SavedModel's answers, and that the TFLite file of every encoder gives the same ones."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from components import features
from components.pusher.convert import convert
from components.trainer.input_pipeline import Timelines
from components.trainer.model import Recommender
from components.trainer.ranking import target_ranks
from components.trainer.serving import ServingModel
from components.trainer.settings import EncoderName, TrainerSettings
from on_device.tflite_model import TFLiteModel

SIZE, HISTORY, TOP_K = 42, 6, 30
COUNTS = np.concatenate([[0, 0], np.arange(SIZE - 2, 0, -1)])
ENCODERS = EncoderName.__args__


class FakeTransformOutput:
    """Takes integers as ids: the Transform graph is tested with the pipeline."""

    def raw_feature_spec(self) -> dict[str, tf.io.VarLenFeature]:
        return {name: tf.io.VarLenFeature(tf.int64) for name in (features.ITEM_ID, features.TARGET_ID)}

    def transform_features_layer(self):
        def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
            timeline = tf.RaggedTensor.from_sparse(raw[features.ITEM_ID])
            return {
                features.TIMELINE: raw[features.ITEM_ID],
                features.HISTORY: timeline[:, -HISTORY:].to_tensor(0, shape=(None, HISTORY)),
                features.TARGET: tf.sparse.to_dense(raw[features.TARGET_ID]),
            }

        return transform


def serialize(timeline: list[int], target: int) -> bytes:
    values = {features.ITEM_ID: timeline, features.TARGET_ID: [target]}
    feature = {k: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for k, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture(scope="module", params=ENCODERS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    settings = TrainerSettings(encoder=request.param, dimension=8, blocks=1, top_k=TOP_K, seed=3)
    model = Recommender(settings, HISTORY, COUNTS)
    random = np.random.default_rng(8)
    model.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in model.get_weights()])
    folder = str(tmp_path_factory.mktemp("saved"))
    ServingModel(model, COUNTS, FakeTransformOutput()).save(folder)
    return SimpleNamespace(model=model, loaded=tf.saved_model.load(folder))


def histories(count: int) -> np.ndarray:
    random = np.random.default_rng(2)
    found = np.zeros((count, HISTORY), np.int32)
    for row in found:
        length = random.integers(1, HISTORY + 1)
        row[:length] = random.permutation(SIZE - 2)[:length] + 2
    return found


def recommend(loaded, history: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    answer = loaded.signatures["recommend"](history=tf.constant(history[None, :], tf.int32))
    return answer["ids"].numpy()[0], answer["scores"].numpy()[0]


def test_answers_are_the_best_unseen_items(saved):
    table = np.asarray(saved.model.item_tower.table())
    for history in histories(20):
        ids, scores = recommend(saved.loaded, history)
        context, _ = saved.model.read_out(history[None, :], table)
        by_hand = (np.asarray(context) @ table.T)[0]
        unseen = sorted(set(range(2, SIZE)) - set(history.tolist()), key=lambda item: -by_hand[item])
        np.testing.assert_allclose(scores, by_hand[unseen[:TOP_K]], rtol=1e-4, atol=1e-5)
        assert set(ids.tolist()) <= set(unseen)


def test_empty_history_returns_the_popular_list(saved):
    ids, _ = recommend(saved.loaded, np.zeros(HISTORY, np.int32))
    assert ids.tolist() == list(range(2, 2 + TOP_K))
    unknown, _ = recommend(saved.loaded, np.full(HISTORY, features.UNKNOWN, np.int32))
    assert unknown.tolist() == ids.tolist()


def test_excluded_items_are_missing_and_empty_places_are_marked(saved):
    history = histories(1)[0]
    exclude = np.arange(2, 20, dtype=np.int32)
    signature = saved.loaded.signatures["recommend_excluding"]
    answer = signature(history=tf.constant(history[None, :]), exclude=tf.constant(exclude[None, :]))
    ids = answer["ids"].numpy()[0]
    wanted = set(range(2, SIZE)) - set(history.tolist()) - set(exclude.tolist())
    assert set(ids[: len(wanted)].tolist()) == wanted
    assert (ids[len(wanted) :] == -1).all() and len(wanted) < TOP_K


def test_rank_agrees_with_a_brute_force(saved):
    random = np.random.default_rng(6)
    rows = [random.permutation(SIZE - 2)[: random.integers(0, 12)] + 2 for _ in range(30)]
    targets = [int(random.integers(1, SIZE)) for _ in rows]
    examples = [serialize(row.tolist(), target) for row, target in zip(rows, targets, strict=True)]
    found = {key: value.numpy() for key, value in saved.loaded.signatures["rank"](examples=examples).items()}
    table = np.asarray(saved.model.item_tower.table())
    for number, (row, target) in enumerate(zip(rows, targets, strict=True)):
        history = np.zeros((1, HISTORY), np.int32)
        history[0, : len(row[-HISTORY:])] = row[-HISTORY:]
        context, length = saved.model.read_out(history, table)
        scores = (np.asarray(context) @ table.T)[0] if length.numpy()[0] else COUNTS.astype(float)
        unseen = [item for item in range(2, SIZE) if item not in set(row.tolist())]
        if target in unseen:
            assert found["target_rank"][number] == sum(scores[item] > scores[target] for item in unseen)
            assert found["popularity_rank"][number] == unseen.index(target)
        else:
            assert found["target_rank"][number] == found["popularity_rank"][number] == SIZE
        assert found["popularity_top_ids"][number].tolist() == unseen[:10]
    assert set(found["num_items"].tolist()) == {SIZE - 2}


def test_early_stopping_ranks_as_the_saved_model_does(saved):
    random = np.random.default_rng(9)
    rows = [random.permutation(SIZE - 2)[: random.integers(0, 12)].astype(np.int32) + 2 for _ in range(40)]
    targets = random.integers(1, SIZE, len(rows)).astype(np.int32)
    histories = np.zeros((len(rows), HISTORY), np.int32)
    for history, row in zip(histories, rows, strict=True):
        history[: len(row[-HISTORY:])] = row[-HISTORY:]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    none = np.zeros(0, np.int32)
    data = Timelines(np.concatenate(rows), starts, histories, targets, none.reshape(0, 1), none)
    examples = [serialize(row.tolist(), int(target)) for row, target in zip(rows, targets, strict=True)]
    answer = saved.loaded.signatures["rank"](examples=tf.constant(examples))
    assert target_ranks(saved.model, data).tolist() == answer["target_rank"].numpy().tolist()


def test_equally_popular_items_rank_in_the_order_in_which_they_are_listed():
    # Without a history the model is the popularity list, so that it must not rank better than that.
    counts = np.array([0, 0, *[3] * 5, *[1] * (SIZE - 7)])
    model = Recommender(TrainerSettings(encoder="bow", dimension=8, top_k=TOP_K), HISTORY, counts)
    serving = ServingModel(model, counts, FakeTransformOutput())
    answer = serving.rank(tf.constant([serialize([], target) for target in range(2, SIZE)]))
    assert answer["target_rank"].numpy().tolist() == list(range(SIZE - 2))
    assert answer["popularity_rank"].numpy().tolist() == list(range(SIZE - 2))


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic_int8"])
def test_file_answers_as_the_saved_model(saved, precision):
    file = TFLiteModel(convert(saved.loaded, precision))
    assert (file.history_length, file.top_k) == (HISTORY, TOP_K)
    agreement, tolerance = [], {"float32": 1e-4, "float16": 2e-2, "dynamic_int8": 0.5}[precision]
    for history in histories(300):
        ids, scores = recommend(saved.loaded, history)
        file_ids, file_scores = file.rank(history, np.empty(0, np.int32))
        assert not set(file_ids.tolist()) & {0, 1, *history.tolist()}
        agreement.append(len(set(ids[:10].tolist()) & set(file_ids[:10].tolist())) / 10)
        np.testing.assert_allclose(file_scores[:10], scores[:10], atol=tolerance)
    assert np.mean(agreement) >= {"float32": 0.999, "float16": 0.99, "dynamic_int8": 0.9}[precision]
