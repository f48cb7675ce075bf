"""Tests generated data: reproducible, complete in every format, and with sequences that a model can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import synthetic
from benchmarks.generate import FORMATS, main
from data.formats import open_dataset
from data.items import read_items
from tests.data.reading import read_all

RATINGS, USERS, ITEMS = 20_000, 200, 400


def write(folder: Path, layout: str, seed: int = 1) -> Path:
    arguments = [f"--ratings={RATINGS}", f"--users={USERS}", f"--items={ITEMS}", f"--format={layout}"]
    assert main([*arguments, f"--seed={seed}", f"--output={folder}"]) == 0
    return folder


@pytest.mark.parametrize("layout", FORMATS)
def test_every_format_is_read_completely(layout: str, tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, layout), "")
    assert dataset.log.movielens == (layout not in ("csv", "parquet"))
    (chunk,), items = read_all(dataset), read_items(dataset)
    assert not chunk.bad_rows
    assert len(chunk) == RATINGS
    assert len(set(chunk.table["user"].to_pylist())) == USERS
    assert len({item.id for item in items}) == ITEMS
    assert set(chunk.table["item"].to_pylist()) <= {item.id for item in items}
    assert all(item.genres and item.year for item in items)
    steps = 1 if layout in ("ml-1m", "ml-100k") else 2
    assert {rating * steps for rating in chunk.table["rating"].to_pylist()} == set(range(1, 5 * steps + 1))


def test_the_seed_determines_every_byte(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(number), "ml-32m", seed) for number, seed in enumerate((1, 1, 2))]
    first, same_seed, other_seed = (
        [(folder / name).read_bytes() for name in ("ratings.csv", "movies.csv")] for folder in folders
    )
    assert first == same_seed
    assert first[0] != other_seed[0] and first[1] != other_seed[1]


def test_blocks_bound_the_memory_and_change_no_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_RATINGS", 3_000)
    world = synthetic.make_world(RATINGS, USERS, ITEMS, seed=3)
    parts = list(synthetic.blocks(world))
    assert len(parts) > 5
    assert max(len(part.user) for part in parts) <= 3_000
    users = np.concatenate([part.user for part in parts])
    assert np.array_equal(np.bincount(users), world.lengths)
    pairs = users * ITEMS + np.concatenate([part.item for part in parts])
    assert len(np.unique(pairs)) == RATINGS  # No user rates an item twice.


@pytest.fixture(scope="module")
def block() -> synthetic.Block:
    (block,) = synthetic.blocks(synthetic.make_world(200_000, 2_000, 2_000, seed=4))
    return block


def test_a_few_users_and_items_have_most_ratings(block: synthetic.Block) -> None:
    for column in (block.user, block.item):
        counts = np.sort(np.bincount(column, minlength=2_000))[::-1]
        assert counts[:200].sum() > 0.25 * counts.sum()
        assert counts[0] > 10 * np.median(counts)


def test_times_rise_with_many_ties(block: synthetic.Block) -> None:
    same_user = block.user[1:] == block.user[:-1]
    gaps = np.diff(block.timestamp)[same_user]
    assert (gaps >= 0).all()
    assert 0.3 < (gaps == 0).mean() < 0.4
    assert block.timestamp.min() > 946_000_000 and block.timestamp.max() < 4_102_444_800


def test_previous_items_predict_better_than_popularity(block: synthetic.Block) -> None:
    """Compares the Recall@10 of two rules on the last rating of each user: most frequent followers, and popularity."""
    last = np.flatnonzero(np.append(np.diff(block.user), 1))
    is_train = np.ones(len(block.user), bool)
    is_train[last] = False
    positions = np.flatnonzero(is_train[1:] & (block.user[1:] == block.user[:-1])) + 1
    transitions = np.zeros((2_000, 2_000), np.int32)
    np.add.at(transitions, (block.item[positions - 1], block.item[positions]), 1)
    counts = np.bincount(block.item[is_train], minlength=2_000)
    by_popularity = np.isin(block.item[last], np.argsort(-counts)[:10]).mean()
    top_followers = np.argsort(-transitions[block.item[last - 1]], axis=1)[:, :10]
    by_transitions = (top_followers == block.item[last][:, None]).any(axis=1).mean()
    assert by_transitions > 3 * by_popularity


@pytest.mark.parametrize("ratings", [5, 5_000])
def test_an_impossible_number_of_ratings_is_an_error(
    ratings: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        main([f"--ratings={ratings}", "--users=10", "--items=20", f"--output={tmp_path}"])
    assert raised.value.code == 2
    assert f"{ratings:,} ratings of 10 users and 20 items" in capsys.readouterr().err


def test_a_folder_that_is_not_empty_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "csv")
    with pytest.raises(SystemExit) as raised:
        write(tmp_path, "csv")
    assert raised.value.code == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(("total", "most"), [(0, 5), (7, 5), (1_000, 40), (4_000, 40)])
def test_shares_add_up_and_respect_their_limit(total: int, most: int) -> None:
    weights = np.random.default_rng(5).pareto(1, 100)
    shares = synthetic.share_out(total, weights, most)
    assert shares.sum() == total and shares.min() >= 0 and shares.max() <= most
