"""Standard errors of means, clustered by user.

The targets of one user are not independent. Therefore the standard error is computed over users instead of targets
(Cameron and Miller, Journal of Human Resources 2015). With one target per user, it equals the usual standard error; for
a share, this is the binomial standard error.
"""

from __future__ import annotations

import hashlib

import numpy as np

SURE = 2  # standard errors from which a difference counts as significant
MAX_GROUPS = 16_384  # of users; with so many, the relative error of a standard error is about 0.6 %


class UserSums:
    """Sums of values over the targets of each user, in bounded memory.

    Each user is a group. With more than `MAX_GROUPS` users, those with equal hash bits share a group. The standard
    errors stay right on average, because users are independent.

    Args:
        columns: number of values C per target.
    """

    def __init__(self, columns: int):
        self._columns = columns
        self._groups: dict[int, np.ndarray] = {}  # hash of the user -> number of targets, followed by the sums
        self._mask = (1 << 63) - 1

    def add(self, user: bytes, values: np.ndarray) -> None:
        """Adds the values of a target of a user, float [C]."""
        key = int.from_bytes(hashlib.blake2b(user, digest_size=8).digest(), "big") & self._mask
        self._add(key, np.concatenate([[1.0], values]))

    def merge(self, other: UserSums) -> None:
        """Adds the sums of other targets, of the same users or others."""
        self._narrow(other._mask)
        for key, sums in other._groups.items():
            self._add(key & self._mask, sums)

    @property
    def targets(self) -> int:
        """Returns the number of targets."""
        return round(float(self._table()[:, 0].sum()))

    def means(self) -> np.ndarray:
        """Returns the means over the targets, float64 [C]; 0 without targets."""
        table = self._table()
        return table[:, 1:].sum(axis=0) / max(table[:, 0].sum(), 1)

    def standard_errors(self) -> np.ndarray:
        """Returns the standard errors of the means, float64 [C]; 0 without targets."""
        return self._errors(self._table()[:, 1:])

    def difference(self, first: int, second: int) -> tuple[float, float]:
        """Returns the difference of the means of two columns, first minus second, and its paired standard error."""
        means, sums = self.means(), self._table()[:, 1:]
        return float(means[first] - means[second]), float(self._errors(sums[:, [first]] - sums[:, [second]])[0])

    def _add(self, key: int, sums: np.ndarray) -> None:
        previous = self._groups.get(key)
        self._groups[key] = sums if previous is None else previous + sums
        if len(self._groups) > MAX_GROUPS:
            self._narrow(MAX_GROUPS - 1)

    def _narrow(self, mask: int) -> None:
        """Reduces each hash to the bits of a mask, and merges groups with equal hashes."""
        if mask < self._mask:
            groups, self._groups, self._mask = self._groups, {}, mask
            for key, sums in groups.items():
                self._add(key & mask, sums)

    def _table(self) -> np.ndarray:
        """Returns the number of targets and the sums of each group, float64 [G, 1 + C]."""
        return np.stack(list(self._groups.values())) if self._groups else np.zeros((0, 1 + self._columns))

    def _errors(self, sums: np.ndarray) -> np.ndarray:
        """Returns the standard errors of means from the sums of each group: float64 [G, C] -> float64 [C]."""
        counts = self._table()[:, :1]
        targets = max(float(counts.sum()), 1.0)
        return np.sqrt(((sums - sums.sum(axis=0) / targets * counts) ** 2).sum(axis=0)) / targets
