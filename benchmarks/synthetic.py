"""Ratings like MovieLens', of any size: a few users and items have most of them, and what comes next can be learnt.

Items stand on a ring on which neighbours are of a kind. A user walks along it, and now and then jumps to an item drawn
by popularity. So the item before says more of the next one than popularity does, and no list of popular items is as
good as a model of sequences. Nobody rates an item twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BLOCK_RATINGS = 1_000_000  # ratings that are made at once; bounds the memory
JUMP = 0.35  # chance of going to an item drawn by popularity instead of along the ring
STEPS, STEP_CHANCES = (1, 2, 3), (0.6, 0.3, 0.1)  # how far one goes along the ring
POPULARITY_EXPONENT, POPULARITY_SHIFT = 1.0, 10  # Zipf-Mandelbrot law of the items' popularity
ACTIVITY_EXPONENT = 1.3  # Pareto law of the users' number of ratings
LEAST_RATINGS = 20  # of a user, as in MovieLens, where there are enough for all
TIE, BREAK = 0.35, 0.1  # chances that the next rating has the same second, and that it comes in another session
START, YEARS = 946_684_800, 20  # users arrive within 20 years from 2000 on
DAY = 86_400


@dataclass(frozen=True)
class World:
    """The items, and the number of ratings of each user.

    Attributes:
        seed: of everything that is drawn.
        item: int64 [I], number of the item at each place of the ring, from 0.
        quality: float32 [I], mean rating of the item at each place.
        chances: float64 [I], cumulated chances of a jump to each place.
        lengths: int64 [U], number of ratings of each user.
    """

    seed: int
    item: np.ndarray
    quality: np.ndarray
    chances: np.ndarray
    lengths: np.ndarray

    @property
    def place(self) -> np.ndarray:
        """Returns the place of each item on the ring, int64 [I]."""
        return np.argsort(self.item)


@dataclass(frozen=True)
class Block:
    """Columns of `R` ratings, one user after another, each oldest first.

    Attributes:
        user: int64 [R], from 0.
        item: int64 [R], from 0.
        rating: float32 [R], on a continuous scale around 3.5.
        timestamp: int64 [R], seconds since 1970-01-01 UTC.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    timestamp: np.ndarray


def make_world(ratings: int, users: int, items: int, seed: int) -> World:
    """Draws items and users.

    Raises:
        ValueError: the users and items cannot have this number of ratings.
    """
    if min(ratings, users, items) < 1 or not users <= ratings <= users * (items // 2):
        raise ValueError(
            f"{ratings:,} ratings of {users:,} users and {items:,} items: every user has one rating or more, and none "
            "rates more than half of the items"
        )
    random = np.random.default_rng([seed, 0])
    weights = (random.permutation(items) + POPULARITY_SHIFT) ** -POPULARITY_EXPONENT
    least = max(min(LEAST_RATINGS, ratings // (2 * users), items // 2), 1)
    activity = random.pareto(ACTIVITY_EXPONENT, users)
    return World(
        seed=seed,
        item=random.permutation(items),
        quality=random.normal(3.5, 0.5, items).astype(np.float32),
        chances=np.cumsum(weights) / weights.sum(),
        lengths=least + share_out(ratings - least * users, activity, items // 2 - least),
    )


def share_out(total: int, weights: np.ndarray, most: int) -> np.ndarray:
    """Returns whole numbers in proportion to weights, int64, that are at most `most` and add up to `total`."""
    shares = np.zeros(len(weights), np.int64)
    while (left := total - int(shares.sum())) > 0:
        open_ = np.flatnonzero(shares < most)
        more = np.floor(left * weights[open_] / weights[open_].sum()).astype(np.int64)
        if not more.any():
            open_, more = open_[np.argsort(-weights[open_], kind="stable")[:left]], np.int64(1)
        shares[open_] = np.minimum(shares[open_] + more, most)
    return shares


def blocks(world: World) -> Iterator[Block]:
    """Yields all ratings, some users at a time."""
    bounds = np.concatenate([[0], np.cumsum(world.lengths)])
    first = 0
    while first < len(world.lengths):
        last = max(int(np.searchsorted(bounds, bounds[first] + BLOCK_RATINGS, side="right")) - 1, first + 1)
        yield _block(world, first, last)
        first = last


def _block(world: World, first: int, last: int) -> Block:
    """Returns the ratings of the users from `first` to before `last`."""
    random = np.random.default_rng([world.seed, 1, first])
    lengths = world.lengths[first:last]
    user = np.repeat(np.arange(last - first), lengths)
    starts = np.cumsum(lengths) - lengths
    place = _without_repeats(random, user, _walk(random, world.chances, starts, len(user)), world.chances)
    bias = random.normal(0, 0.4, last - first)[user]
    rating = world.quality[place] + bias + random.normal(0, 0.8, len(user))
    return Block(user + first, world.item[place], rating.astype(np.float32), _times(random, user, starts, lengths))


def _walk(random: np.random.Generator, chances: np.ndarray, starts: np.ndarray, size: int) -> np.ndarray:
    """Returns places on the ring, int64 [size]; each user's walk starts with a jump."""
    jump = random.random(size) < JUMP
    jump[starts] = True
    went = np.cumsum(np.where(jump, 0, random.choice(STEPS, size, p=STEP_CHANCES)))
    jumps = np.flatnonzero(jump)
    origin = _draw(random, chances, len(jumps)) - went[jumps]
    return (origin[np.cumsum(jump) - 1] + went) % len(chances)


def _draw(random: np.random.Generator, chances: np.ndarray, size: int) -> np.ndarray:
    return np.minimum(np.searchsorted(chances, random.random(size), side="right"), len(chances) - 1)


def _without_repeats(
    random: np.random.Generator, user: np.ndarray, place: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    """Redraws repeated places of each user until none remains: first by popularity, then uniformly."""
    items = len(chances)
    rows = np.arange(len(user))  # of users who may have repeats
    for attempt in range(1_000):
        _, kept = np.unique(user[rows] * items + place[rows], return_index=True)
        repeats = np.ones(len(rows), bool)
        repeats[kept] = False
        again = rows[repeats]
        if not len(again):
            return place
        place[again] = random.integers(0, items, len(again)) if attempt else _draw(random, chances, len(again))
        rows = rows[np.isin(user[rows], user[again])]
    raise AssertionError("no user has more than half of the items, so that every other draw is new")


def _times(random: np.random.Generator, user: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns seconds since 1970-01-01 UTC, int64 [R]: many ties, sessions, and breaks; all within about two years."""
    size = len(user)
    kind = random.random(size)
    longest = np.clip(2 * 365 * DAY / (BREAK * lengths + 1), 3600, 30 * DAY)[user]
    gap = np.where(kind < 1 - BREAK, random.integers(1, 60, size), 3600 + random.random(size) * longest)
    gap = np.where(kind < TIE, 0, gap).astype(np.int64)
    gap[starts] = 0
    elapsed = np.cumsum(gap)
    arrival = START + random.integers(0, YEARS * 365 * DAY, len(lengths))
    return arrival[user] + elapsed - elapsed[starts][user]
