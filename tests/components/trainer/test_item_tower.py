"""The item table: an item's own embedding, the mean of its genres', and its year's."""

from __future__ import annotations

import numpy as np
import pytest

from components.trainer.item_tower import ItemTower
from components.trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(dimension=4)
GENRES = np.array([[0, 0], [0, 0], [2, 3], [3, 0], [0, 0]], np.int32)
YEARS = np.array([0, 0, 2, 1, 2], np.int32)


@pytest.mark.parametrize(("with_genres", "with_years"), [(True, True), (True, False), (False, True), (False, False)])
def test_table_by_hand(with_genres, with_years):
    tower = ItemTower(SETTINGS, GENRES if with_genres else None, YEARS if with_years else None, size=5)
    tower.build()
    rows = {weight.name: np.asarray(weight) for weight in tower.weights}
    assert set(rows) == {"item"} | ({"genre"} if with_genres else set()) | ({"year"} if with_years else set())
    expected = rows["item"].copy()
    if with_genres:
        expected[2] += (rows["genre"][2] + rows["genre"][3]) / 2
        expected[3] += rows["genre"][3]
    if with_years:
        expected += rows["year"][YEARS]
    np.testing.assert_allclose(tower.table(), expected, atol=1e-6)
