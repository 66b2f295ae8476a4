"""Rows in independent groups, and resamples that draw whole groups.

Rows of one group (a conversation, an author) resemble each other. Only groups are independent samples.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

_BATCH = 2_000_000
"""Numbers held in memory at once (16 MB)."""


@dataclass(frozen=True)
class Grouped:
    """Scores added up by group, one column per score.

    Attributes:
        sums: of the values of a group (shape: groups, columns).
        sizes: number of values of a group (shape: groups, columns); a group without a value of a column has 0.
    """

    sums: np.ndarray
    sizes: np.ndarray

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(self.sums)

    @property
    def heaviest(self) -> float:
        """Number of values of the largest group over the mean group's, in the first column; 1 for equal groups."""
        return float(self.sizes[:, 0].max() / self.sizes[:, 0].mean())

    def means(self) -> np.ndarray:
        """Mean over all values (shape: columns)."""
        return self.sums.sum(axis=0) / self.sizes.sum(axis=0)

    def standard_errors(self) -> np.ndarray:
        """Standard error of each mean (shape: columns); needs two groups.

        The mean is a ratio of two sums over groups, so this is the standard error of a ratio (Cochran 1977, "Sampling
        Techniques", section 6.4). With one value per group it is the sample deviation over the root of their number.
        """
        residuals = self.sums - self.means() * self.sizes
        spread = np.sqrt((residuals**2).sum(axis=0) * self.count / (self.count - 1))
        return np.asarray(spread / self.sizes.sum(axis=0))

    def resampled_means(self, resamples: int, seed: int) -> np.ndarray:
        """The mean of each resample of the groups (shape: resamples, columns); NaN if it drew no value of a column."""
        parts = []
        for counts in drawn_counts(self.count, resamples, seed):
            with np.errstate(invalid="ignore"):
                parts.append((counts @ self.sums) / (counts @ self.sizes))
        return np.concatenate(parts)


def grouped(values: ArrayLike, groups: Sequence[Hashable] | None = None) -> Grouped:
    """Add up ``values`` (shape: rows or rows, columns; NaN: no value) by group; without ``groups`` each row is one."""
    array = np.asarray(values, dtype=np.float64)
    columns = array if array.ndim > 1 else array[:, None]
    known = np.isfinite(columns)
    filled = np.where(known, columns, 0.0)
    if groups is None:
        return Grouped(filled, known.astype(np.float64))
    index = group_index(groups)
    shape = (int(index.max(initial=-1)) + 1, columns.shape[1])
    sums, sizes = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, index, filled)
    np.add.at(sizes, index, known)
    return Grouped(sums, sizes)


def group_index(groups: Sequence[Hashable]) -> np.ndarray:
    """The number of each row's group, from 0, in the order in which the groups come (shape: rows)."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def drawn_groups(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Resamples of ``count`` groups in batches: the group of each draw (shape: batch, count).

    The draws depend on ``count`` and ``seed`` alone. Two systems with the same groups are drawn together.
    """
    random = np.random.default_rng(seed)
    batch = max(1, _BATCH // max(count, 1))
    for start in range(0, resamples, batch):
        yield random.integers(count, size=(min(batch, resamples - start), count))


def drawn_counts(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The draws of ``drawn_groups`` as how often each group was drawn (shape: batch, count)."""
    for drawn in drawn_groups(count, resamples, seed):
        offsets = np.arange(len(drawn))[:, None] * count
        counts = np.bincount((drawn + offsets).ravel(), minlength=len(drawn) * count)
        yield counts.reshape(len(drawn), count).astype(np.float64)
