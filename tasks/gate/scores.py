"""Scores of test rows, with each row's group and dirty mark, and the rows of two systems in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tasks.core.files import digest
from tasks.metrics.differences import gain
from tasks.text.rows import RowKey, without_turn

GroupKey = tuple[str, str]
"""The values of ``tasks.text.rows.group_key``."""


@dataclass(frozen=True)
class Scores:
    """One system's scores of the test rows.

    Attributes:
        values: ``ROW_KEY`` → score, in the order of the test set.
        groups: the independent group of each of these rows.
        dirty: the rows that count as seen in training; where that is not known, a row is not among them.
    """

    values: Mapping[RowKey, float]
    groups: Mapping[RowKey, GroupKey]
    dirty: frozenset[RowKey] = field(default_factory=frozenset)

    def rows(self) -> set[tuple[str, str]]:
        """Source and row_id of each row. Prompt variants of one row are one, and so are the turns of a conversation."""
        return {(source, without_turn(row_id)) for source, row_id, _ in self.values}

    def dirty_rows(self) -> set[tuple[str, str]]:
        """Source and row_id of each dirty row; one dirty prompt variant makes the row dirty."""
        return {key[:2] for key in self.dirty}

    def digest(self) -> str:
        """Digest of every row's score, group and mark; it does not depend on the order of the rows."""
        return digest(sorted([*key, score, *self.groups[key], key in self.dirty] for key, score in self.values.items()))

    def clean_groups(self) -> int:
        """Number of independent groups with a clean row."""
        dirty = self.dirty_rows()
        return len({group for key, group in self.groups.items() if key[:2] not in dirty})


@dataclass(frozen=True)
class Pairs:
    """Candidate minus opponent, averaged over the prompt variants of each row.

    Attributes:
        gains: of the rows that are clean for both systems (shape: rows).
        groups: the group of each of these rows.
        dirty_gains: of the rows that are dirty for either system (shape: dirty rows).
    """

    gains: np.ndarray
    groups: list[GroupKey]
    dirty_gains: np.ndarray

    def clean_groups(self) -> int:
        """Number of independent groups with a row that is clean for both systems."""
        return len(set(self.groups))


def paired(candidate: Scores, opponent: Scores) -> Pairs:
    """Pair the rows of two systems, which must have the same rows. The groups are the candidate's.

    They are not taken from the opponent, since an old champion's report may lack them.
    """
    gains: dict[tuple[str, str], list[float]] = {}
    for key, score in candidate.values.items():
        gains.setdefault(key[:2], []).append(gain(score, opponent.values[key]))
    means = {row: float(np.mean(variants)) for row, variants in gains.items()}
    groups = {key[:2]: group for key, group in candidate.groups.items()}
    dirty = candidate.dirty_rows() | opponent.dirty_rows()
    clean = [row for row in means if row not in dirty]
    return Pairs(
        np.array([means[row] for row in clean], dtype=np.float64),
        [groups[row] for row in clean],
        np.array([mean for row, mean in means.items() if row in dirty], dtype=np.float64),
    )
