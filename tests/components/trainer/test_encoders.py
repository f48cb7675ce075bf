"""Properties of all encoders: they are causal, and those with a bounded look-back use at most N items."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer.encoders import Encoder, _sliding_maximum, make_encoder
from components.trainer.settings import TrainerSettings

ENCODERS = ("bow", "cnn", "lstm", "transformer")
LENGTH, DIMENSION, HISTORY = 12, 8, 5


def encoder_with_random_weights(name: str, history_length: int, blocks: int):
    tf.random.set_seed(1)
    encoder = make_encoder(TrainerSettings(encoder=name, dimension=DIMENSION, blocks=blocks), history_length)
    encoder(tf.zeros([1, LENGTH, DIMENSION]))
    random = np.random.default_rng(7)
    encoder.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in encoder.weights])
    return encoder


def encode(name: str, history_length: int = HISTORY, blocks: int = 1):
    encoder = encoder_with_random_weights(name, history_length, blocks)
    return lambda y: np.asarray(encoder(tf.constant(y, tf.float32)))


def latest(encoder: Encoder, window: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the context vectors after one position of each row; later positions are padding that is not zero."""
    rows = [
        np.concatenate([row[position::-1], row[:position:-1]]) for row, position in zip(window, positions, strict=True)
    ]
    real = np.arange(window.shape[1]) <= positions[:, None]
    width = min(encoder.look_back or LENGTH, window.shape[1])
    return np.asarray(encoder.latest(tf.constant(np.stack(rows)[:, :width]), tf.constant(real[:, :width], tf.float32)))


@pytest.fixture
def window() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, LENGTH, DIMENSION)).astype(np.float32)


@pytest.mark.parametrize("name", ENCODERS)
def test_later_items_do_not_change_earlier_contexts(name, window):
    encoder = encode(name)
    changed = window.copy()
    changed[:, 7:] = changed[:, :5]  # not a shift: layer normalisation would hide that
    before, after = encoder(window), encoder(changed)
    assert before.shape == window.shape
    np.testing.assert_allclose(before[:, :7], after[:, :7], atol=1e-5)
    assert (np.abs(before[:, 7] - after[:, 7]) > 1e-3).any()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_context_of_one_position_agrees_with_those_of_all_positions(name, blocks, window):
    encoder = encoder_with_random_weights(name, HISTORY, blocks)
    for position in range(LENGTH):
        positions = np.array([position, LENGTH - 1 - position], np.int32)
        expected = np.asarray(encoder(window))[np.arange(2), positions]
        np.testing.assert_allclose(latest(encoder, window, positions), expected, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("name", ENCODERS)
def test_histories_may_be_shorter_than_the_look_back_of_an_encoder(name, length, window):
    encoder = encoder_with_random_weights(name, HISTORY, blocks=2)
    piece = window[:, :length]
    expected = np.asarray(encoder(piece))[:, -1]
    np.testing.assert_allclose(latest(encoder, piece, np.full(2, length - 1)), expected, atol=1e-5)


@pytest.mark.parametrize("blocks", [2, 3])
@pytest.mark.parametrize("upper", [1, 2, 4, 100])
def test_blocks_are_evaluated_only_at_positions_that_upper_blocks_use(upper, blocks, window):
    settings = TrainerSettings(dimension=DIMENSION, blocks=blocks, window=HISTORY, upper_look_back=upper)
    encoder = make_encoder(settings, HISTORY)
    encoder(tf.zeros([1, LENGTH, DIMENSION]))
    random = np.random.default_rng(7)
    encoder.set_weights([random.normal(scale=0.3, size=weight.shape) for weight in encoder.weights])
    reaches = [weight.shape[1] for weight in encoder.weights if weight.name == "distance"]
    assert reaches == [HISTORY, *[min(upper, HISTORY)] * (blocks - 1)]
    for position in range(LENGTH):
        positions = np.array([position, LENGTH - 1 - position], np.int32)
        expected = np.asarray(encoder(window))[np.arange(2), positions]
        np.testing.assert_allclose(latest(encoder, window, positions), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["bow", "cnn"])
def test_bounded_encoders_need_only_the_items_of_their_look_back(name, window):
    encoder = encoder_with_random_weights(name, HISTORY, 1)
    assert encoder.look_back == HISTORY
    contexts = np.asarray(encoder(window))
    for last in range(HISTORY - 1, LENGTH):
        piece = window[:, last - HISTORY + 1 : last + 1]
        np.testing.assert_allclose(np.asarray(encoder(piece))[:, -1], contexts[:, last], atol=1e-5)


@pytest.mark.parametrize("name", ["bow", "cnn", "transformer"])
def test_one_block_uses_only_the_items_of_the_history_length(name, window):
    encoder = encode(name)
    changed = window.copy()
    changed[:, 4] = 2 * changed[:, 0]
    difference = np.abs(encoder(window) - encoder(changed)).max(axis=(0, 2))
    assert (difference[4 : 4 + HISTORY] > 1e-4).all()
    np.testing.assert_allclose(difference[4 + HISTORY :], 0, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("history_length", [1, 2, 3, 4, 7])
def test_several_blocks_together_use_only_the_items_of_the_history_length(blocks, history_length, window):
    # Windows in training are longer: a position must not use more items than the device has.
    encoder = encode("transformer", history_length, blocks)
    changed = window.copy()
    changed[:, 4] = 2 * changed[:, 0]
    difference = np.abs(encoder(window) - encoder(changed)).max(axis=(0, 2))
    assert difference[4] > 1e-4
    np.testing.assert_allclose(difference[4 + history_length :], 0, atol=1e-5)


def test_each_block_looks_back_over_the_history_if_windows_are_not_longer(window):
    settings = TrainerSettings(dimension=DIMENSION, blocks=2, window=HISTORY)
    encoder = make_encoder(settings, HISTORY)
    encoder(tf.zeros([1, LENGTH, DIMENSION]))
    assert [weight.shape for weight in encoder.weights if weight.name == "distance"] == [(2, HISTORY)] * 2


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("history_length", [1, 2, 3, 4, 7])
def test_convolutions_use_only_the_items_of_the_history_length(blocks, history_length, window):
    encoder = encode("cnn", history_length, blocks)
    changed = window.copy()
    changed[:, 4] = 2 * changed[:, 0] + 50  # far enough to be the maximum that is pooled
    difference = np.abs(encoder(window) - encoder(changed)).max(axis=(0, 2))
    assert difference[4 + history_length - 1] > 1e-4
    np.testing.assert_allclose(difference[4 + history_length :], 0, atol=1e-5)
    np.testing.assert_allclose(difference[:4], 0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
def test_sliding_maximum_is_the_maximum_of_a_window(size, window):
    expected = np.stack([window[:, max(t - size + 1, 0) : t + 1].max(axis=1) for t in range(LENGTH)], axis=1)
    np.testing.assert_array_equal(_sliding_maximum(tf.constant(window), size), expected)


def test_bag_of_words_averages_if_its_recency_weights_are_equal():
    encoder = make_encoder(TrainerSettings(encoder="bow", dimension=DIMENSION), HISTORY)
    x = tf.constant(np.random.default_rng(5).normal(size=(1, LENGTH, DIMENSION)), tf.float32)
    encoder(x)
    weights = encoder.get_weights()
    encoder.set_weights([np.zeros_like(w) if w.ndim != 1 or len(w) != DIMENSION else w for w in weights])
    flat = np.asarray(encoder(x))[0, -1]
    average = x.numpy()[0, -HISTORY:].mean(axis=0)
    expected = (average - average.mean()) / average.std()
    np.testing.assert_allclose(flat, expected, atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_keras_saves_and_loads_an_encoder(name, window):
    encoder = encoder_with_random_weights(name, HISTORY, blocks=2)
    loaded = keras.layers.deserialize(keras.layers.serialize(encoder))
    loaded(tf.zeros([1, LENGTH, DIMENSION]))
    loaded.set_weights(encoder.get_weights())
    np.testing.assert_allclose(np.asarray(loaded(window)), np.asarray(encoder(window)), atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_computes_in_the_precision_of_its_configuration(name, window):
    settings = TrainerSettings(encoder=name, dimension=DIMENSION, blocks=2)
    encoder = encoder_with_random_weights(name, HISTORY, blocks=2)
    config = {**encoder.get_config(), "dtype": "mixed_bfloat16"}
    mixed = type(make_encoder(settings, HISTORY)).from_config(config)
    mixed(tf.zeros([1, LENGTH, DIMENSION]))
    mixed.set_weights(encoder.get_weights())
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    contexts = mixed(window)
    assert contexts.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(contexts, tf.float32), np.asarray(encoder(window)), atol=0.15)
