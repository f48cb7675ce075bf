"""Fine-tuning for one user against TensorFlow's own gradients, and how held-out users are told apart and measured."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import held_out_users, personalisation
from benchmarks.held_out_users import RECIPES, Measured, choose, fold_of, in_second_half
from benchmarks.user_side import FACTOR_PRIOR, FACTOR_RATE, STEPS, Items, Recipe, fine_tune
from components.trainer import losses
from components.trainer.losses import Seen

HISTORY = np.array([2, 5, 3, 7, 5, 4], np.int32)
RANDOM = np.random.default_rng(0)
CONTEXTS = RANDOM.normal(size=(6, 4)).astype(np.float32)
ITEMS = Items(RANDOM.normal(size=(10, 4)).astype(np.float32), RANDOM.random((10, 3)).astype(np.float32), trained=9)
PARTS = ("vector", "gain", "genres", "scale")


@pytest.mark.parametrize("part", PARTS)
def test_a_step_is_the_gradient_of_the_loss_of_training(part):
    recipe = Recipe(part, learning_rate=0.1, shrinkage=0.0)
    table = ITEMS.genres if part == "genres" else ITEMS.labels
    bias = tf.Variable(tf.zeros(table.shape[1]))
    factor = tf.Variable(tf.ones(4 if part == "scale" else 1))
    with tf.GradientTape() as tape:
        # The bias as one more product of a context and a table, so that the Trainer's loss can be used as it is.
        contexts = tf.concat([CONTEXTS[:-1] * factor, tf.tile(bias[None, :], [5, 1])], axis=1)
        both = np.concatenate([ITEMS.labels, table], axis=1)[: ITEMS.trained]
        seen = Seen(tf.constant(HISTORY[None, :-1]))
        weights = tf.cast(~seen.has(tf.constant(HISTORY[None, 1:]))[0], tf.float32)
        absent = seen.among(tf.range(2, ITEMS.trained))
        loss = losses.full_softmax(contexts, both, HISTORY[1:], weights / tf.reduce_sum(weights), absent=absent)
    of_bias, of_factor = tape.gradient(loss, [bias, factor])
    bias.assign_sub(0.1 * of_bias)
    if part in ("gain", "scale"):
        factor.assign_sub(0.1 * FACTOR_RATE * of_factor)
    wanted = (CONTEXTS[-1] * factor.numpy()) @ ITEMS.labels.T + table @ bias.numpy()
    found = fine_tune(recipe, CONTEXTS, HISTORY, ITEMS)
    np.testing.assert_allclose(found[0], CONTEXTS[-1] @ ITEMS.labels.T, rtol=1e-5)
    np.testing.assert_allclose(found[1 + STEPS.index(1)], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", PARTS)
def test_shrinkage_holds_users_where_all_start(part):
    found = fine_tune(Recipe(part, 0.3, 1e9), CONTEXTS, HISTORY, ITEMS)
    np.testing.assert_allclose(found[-1], found[0], atol=1e-4)
    free = fine_tune(Recipe(part, 0.3, 0.0), CONTEXTS, HISTORY, ITEMS)
    assert np.abs(free[-1] - free[0]).max() > 0.01 and FACTOR_PRIOR > 0


def test_a_taste_is_learnt():
    labels = np.eye(6, 2, dtype=np.float32) * 0
    labels[2:4, 0], labels[4:, 1] = 1, 1  # two kinds of item
    items = Items(np.repeat(labels, 4, axis=0), np.zeros((24, 1), np.float32), 24)
    history = np.array([8, 9, 10, 11, 12], np.int32)  # all of the first kind; 13 is, too
    scores = fine_tune(Recipe("vector", 0.3, 0.1), np.zeros((5, 2), np.float32), history, items)
    assert (scores[0] == 0).all()
    assert (np.diff(scores[:, 13]) > 0).all() and (scores[1:, 13] > scores[1:, 20]).all()


def test_from_one_item_nothing_is_learnt():
    found = fine_tune(Recipe("vector", 0.3, 1.0), CONTEXTS[:1], HISTORY[:1], ITEMS)
    assert (found == found[0]).all()


def test_folds_and_halves_are_of_whole_users_and_independent():
    users = np.array([b"%d" % number for number in range(5000)])
    folds, halves = fold_of(users), in_second_half(users)
    assert np.bincount(folds).min() > 900
    assert all(0.45 < halves[folds == fold].mean() < 0.55 for fold in range(5))
    assert (fold_of(users[::-1]) == folds[::-1]).all()


def test_each_of_the_last_items_is_a_target_after_what_came_before(make_timelines):
    found = held_out_users._with_targets(make_timelines([[2, 3, 4], [7]], [5, 8]), 3)
    histories = [found.items[start:stop].tolist() for start, stop in zip(found.starts, found.starts[1:], strict=False)]
    assert histories == [[2, 3, 4], [2, 3], [2], [7], [], []]
    assert found.targets.tolist() == [5, 4, 3, 8, 7, 1]


def test_ranks_are_those_of_unseen_items():
    scores = np.array([[9, 9, 5, 4, 3, 2], [0, 0, 0, 0, 0, 7]], np.float32)
    assert held_out_users._ranks(scores, np.array([2], np.int32), 5).tolist() == [2, 0]
    assert held_out_users._ranks(scores, np.array([], np.int32), 3).tolist() == [1, 2]
    assert held_out_users._ranks(scores, np.array([5], np.int32), 5).tolist() == [6, 6]


def test_the_recipe_is_chosen_on_one_half_and_reported_on_the_other():
    users = np.array([b"%d" % number for number in range(40)])
    second = in_second_half(users)
    missed = np.full(40, 99)
    good, tempting = (RECIPES[0], 1), (RECIPES[1], 1)
    # The second helps only those who are reported on.
    found = choose(Measured(users, missed, {good: np.where(second, 99, 0), tempting: np.where(second, 0, 99)}))
    assert (found["recipe"]["shrinkage"], found["steps"]) == (RECIPES[0].shrinkage, 1)
    assert found["difference"]["recall_at_10"]["mean"] == 0.0
    assert found["targets"] == second.sum() == found["users"]
    assert [row["recall_at_10"]["mean"] for row in found["tried"]] == [1.0, 0.0]


def test_mistakes_are_one_line(capsys):
    assert personalisation.main(["--data", "nowhere", "--set", "trainer.droput=1"]) == 2
    assert "did you mean 'dropout'?" in capsys.readouterr().err
    assert personalisation.main(["--data", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such file")
