"""Compare the winner of a sweep with the experiment it started from, on rows that the search did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.counted import counted
from tasks.metrics.differences import Difference, paired_difference
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.metrics.verdicts import Verdict, rows_needed, verdict
from tasks.text.rows import Row, group_key, row_key

SCORE = "loss_per_byte"
"""Nats per byte of each row; less is better. Its margin is that of ``verdicts.margins``."""


@dataclass(frozen=True)
class Check:
    """What the check part shows.

    Attributes:
        difference: loss of the winner minus that of the starting experiment, in nats per byte: below 0 is a gain.
        verdict: about the winner.
        rows_needed: rows that would decide; None if the verdict is decided.
    """

    difference: Difference
    verdict: Verdict
    rows_needed: int | None

    def line(self) -> str:
        """The verdict in one line."""
        d = self.difference
        needed = "" if self.rows_needed is None else f" (~{self.rows_needed} rows needed)"
        return (
            f"{self.verdict}{needed}: loss difference {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}] nats per byte on "
            f"{counted(d.rows, 'validation row')} in {counted(d.groups, 'group')} that the search did not see"
        )


def check(winner: Sequence[Row], start: Sequence[Row], intervals: IntervalParams, params: VerdictParams) -> Check:
    """Judge the paired difference of two trials' ``check.parquet``.

    A row counts with its loss over the bytes of the mean row, so that the mean is the loss per byte of all rows and a
    short row weighs no more than its bytes. Only rows of both are compared. Their ``max_length`` is the same, so
    neither drops a row that the other has.
    """
    losses = {row_key(row): row["nll"] for row in start}
    paired = [row for row in winner if row_key(row) in losses]
    size = sum(row["bytes"] for row in paired) / len(paired)
    differences = [(row["nll"] - losses[row_key(row)]) / size for row in paired]
    difference = paired_difference(differences, intervals, [group_key(row) for row in paired])
    margin, gained = params.margin_of(SCORE), difference.negated()
    shown = verdict(gained, margin, params)
    needed = rows_needed(gained, margin, params) if shown == "not enough rows" else None
    return Check(difference, shown, needed)
