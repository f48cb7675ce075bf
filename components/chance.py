"""What chance explains: standard errors over users, and whether a difference is larger than them.

One user's targets are not independent, so an error is that of a mean over whole users (Cameron and Miller, Journal of
Human Resources 2015). With one target each it is the usual one, which for a share is the binomial one.
"""

from __future__ import annotations

import hashlib

import numpy as np

SURE = 2  # standard errors beyond which a difference is no chance
MOST_GROUPS = 16_384  # with as many groups of users as that, chance moves a standard error by about 0.6 %


class UserSums:
    """Sums of values over the targets of each user, in bounded memory.

    Each user is a group. Above `MOST_GROUPS` users, users whose ids share a hash make a group together. The standard
    errors stay right on average, because users are independent of one another.

    Args:
        columns: number of values C of each target.
    """

    def __init__(self, columns: int):
        self._columns = columns
        self._groups: dict[int, np.ndarray] = {}  # hash of the user -> number of targets, then sums
        self._mask = (1 << 63) - 1

    def add(self, user: bytes, values: np.ndarray) -> None:
        """Add the values of one target, float [C], of a user."""
        key = int.from_bytes(hashlib.blake2b(user, digest_size=8).digest(), "big") & self._mask
        self._add(key, np.concatenate([[1.0], values]))

    def merge(self, other: UserSums) -> None:
        """Add the sums of other targets, of the same users or of others."""
        self._narrow(other._mask)
        for key, sums in other._groups.items():
            self._add(key & self._mask, sums)

    @property
    def targets(self) -> int:
        """Number of targets."""
        return round(float(self._table()[:, 0].sum()))

    def means(self) -> np.ndarray:
        """Means over the targets, float64 [C]; 0 without targets."""
        table = self._table()
        return table[:, 1:].sum(axis=0) / max(table[:, 0].sum(), 1)

    def standard_errors(self) -> np.ndarray:
        """Standard errors of the means, float64 [C]; 0 without targets."""
        return self._errors(self._table()[:, 1:])

    def difference(self, first: int, second: int) -> tuple[float, float]:
        """The difference of two columns' means, first minus second, and its standard error, paired by target."""
        means, sums = self.means(), self._table()[:, 1:]
        return float(means[first] - means[second]), float(self._errors(sums[:, [first]] - sums[:, [second]])[0])

    def _add(self, key: int, sums: np.ndarray) -> None:
        held = self._groups.get(key)
        self._groups[key] = sums if held is None else held + sums
        if len(self._groups) > MOST_GROUPS:
            self._narrow(MOST_GROUPS - 1)

    def _narrow(self, mask: int) -> None:
        """Keep only the bits of a mask of each hash."""
        if mask < self._mask:
            groups, self._groups, self._mask = self._groups, {}, mask
            for key, sums in groups.items():
                self._add(key & mask, sums)

    def _table(self) -> np.ndarray:
        return np.stack(list(self._groups.values())) if self._groups else np.zeros((0, 1 + self._columns))

    def _errors(self, sums: np.ndarray) -> np.ndarray:
        """Of means: sums of each group, float64 [G, C] -> float64 [C]."""
        counts = self._table()[:, :1]
        targets = max(float(counts.sum()), 1.0)
        return np.sqrt(((sums - sums.sum(axis=0) / targets * counts) ** 2).sum(axis=0)) / targets
