"""Standard errors over users compared with a brute force; the gate's rule for equally good and for worse models."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components import chance
from components.chance import SURE, UserSums


def sums_of(users: np.ndarray, values: np.ndarray) -> UserSums:
    sums = UserSums(values.shape[1])
    for user, row in zip(users.tolist(), values, strict=True):
        sums.add(b"%d" % user, row)
    return sums


def error_by_hand(users: np.ndarray, values: np.ndarray) -> float:
    residuals = [(values[users == user] - values.mean()).sum() for user in np.unique(users)]
    return math.sqrt(sum(residual**2 for residual in residuals)) / len(values)


@pytest.fixture(scope="module")
def targets() -> tuple[np.ndarray, np.ndarray]:
    """Users with 1 to 9 targets each, and their correlated hits under two models."""
    random = np.random.default_rng(3)
    users = np.repeat(np.arange(200), random.integers(1, 10, 200))
    liked = random.beta(0.5, 1, 200)[users]
    return users, (random.random((len(users), 2)) < np.stack([liked, liked * 0.9], axis=1)).astype(float)


def test_means_and_errors_with_several_targets_per_user(targets):
    users, hits = targets
    sums = sums_of(users, hits)
    assert sums.targets == len(users)
    np.testing.assert_allclose(sums.means(), hits.mean(axis=0))
    expected = [error_by_hand(users, hits[:, column]) for column in (0, 1)]
    np.testing.assert_allclose(sums.standard_errors(), expected)
    binomial = math.sqrt(hits[:, 0].mean() * (1 - hits[:, 0].mean()) / len(users))
    assert expected[0] > 1.3 * binomial, "the hits of a user are correlated"
    difference, error = sums.difference(0, 1)
    assert difference == pytest.approx((hits[:, 0] - hits[:, 1]).mean())
    assert error == pytest.approx(error_by_hand(users, hits[:, 0] - hits[:, 1]))


def test_the_error_is_binomial_with_one_target_per_user():
    hits = np.array([[1.0], [0.0], [0.0], [1.0], [1.0]])
    (error,) = sums_of(np.arange(5), hits).standard_errors()
    assert error == pytest.approx(math.sqrt(0.6 * 0.4 / 5))


def test_memory_is_bounded_and_errors_stay_approximately_correct(targets, monkeypatch):
    users, hits = targets
    exact = sums_of(users, hits).standard_errors()
    monkeypatch.setattr(chance, "MAX_GROUPS", 128)
    halves = [sums_of(users[part::2], hits[part::2]) for part in (0, 1)]
    halves[0].merge(halves[1])
    assert len(halves[0]._groups) <= 128 and halves[0].targets == len(users)
    np.testing.assert_allclose(halves[0].means(), hits.mean(axis=0))
    np.testing.assert_allclose(halves[0].standard_errors(), exact, rtol=0.25)


def test_means_and_errors_without_targets_are_zero():
    assert UserSums(2).means().tolist() == UserSums(2).standard_errors().tolist() == [0, 0]


def refusal_rates(first: float, second: float, targets: int = 943, pairs: int = 400) -> tuple[float, float]:
    """Returns how often a model is refused against another: by a loss of 2%, and by a loss beyond chance.

    Two fits with different seeds agree on most targets: each target has one probability of a hit for both.
    """
    random = np.random.default_rng(11)
    by_share = beyond_chance = 0
    for _ in range(pairs):
        probabilities = random.beta(0.3, 0.9, targets)  # 0.25 on average
        hits = random.random((targets, 2)) < np.stack(
            [probabilities * first / 0.25, probabilities * second / 0.25], axis=1
        )
        change, error = sums_of(np.arange(targets), hits.astype(float)).difference(1, 0)
        by_share += change < -0.02 * hits[:, 0].mean()
        beyond_chance += change + SURE * error < 0
    return by_share / pairs, beyond_chance / pairs


def test_an_equally_good_model_is_not_refused():
    by_share, beyond_chance = refusal_rates(0.25, 0.25)
    assert by_share > 0.25, "the earlier rule of the gate refuses many equally good models"
    assert beyond_chance < 0.05


def test_a_worse_model_is_refused():
    _, beyond_chance = refusal_rates(0.25, 0.19, pairs=100)
    assert beyond_chance > 0.9
