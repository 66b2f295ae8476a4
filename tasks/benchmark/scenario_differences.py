"""Accuracy of two models on the rows of a HELM scenario: better, worse, the same, or not enough rows."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.metrics.differences import as_entry, gain, paired_difference
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.metrics.verdicts import needed, rows_needed, verdict
from tasks.text.rows import Row


def accuracy_differences(
    base: Iterable[Row], ours: Iterable[Row], scenarios: Iterable[str], params: IntervalParams, verdicts: VerdictParams
) -> dict[str, Row]:
    """Compare the scores of the original rows that both models have, over independent groups of rows.

    Args:
        base, ours: rows of ``tasks.benchmark.helm.measured.INSTANCES`` of both models.
        scenarios: names of the scenarios whose score is an accuracy.

    Returns:
        Scenario → ``as_entry`` of ours minus base's, ``verdict`` and, if that is "not enough rows", ``rows_needed``.
        Scenarios without shared rows are left out.
    """
    theirs, mine = _scores(base), _scores(ours)
    entries = {}
    for scenario in scenarios:
        both = sorted(key for key in mine.keys() & theirs.keys() if key[0] == scenario)
        if not both:
            continue
        gains = [gain(mine[key]["score"], theirs[key]["score"]) for key in both]
        groups = [_group(mine[key]) or _group(theirs[key]) or key[1] for key in both]
        difference = paired_difference(gains, params, groups)
        outcome = verdict(difference, verdicts.margin, verdicts)
        entries[scenario] = as_entry(difference) | {"verdict": outcome}
        if outcome == "not enough rows":
            entries[scenario]["rows_needed"] = rows_needed(difference, verdicts.margin, verdicts)
    return entries


def line(name: str, baseline: str, scenario: str, entry: Row) -> str:
    """One difference as a line of text."""
    value, low, high = (f"{entry[key]:+.3f}" for key in ("value", "low", "high"))
    beside = f"on {entry['rows']} rows: {entry['verdict']}{needed(entry)}"
    return f"{scenario}: accuracy of {name} − {baseline}: {value} [{low}, {high}] {beside}"


def _group(row: Row) -> str | None:
    """The row's group; None for a row of an earlier version, which is a group by itself."""
    return row.get("independent_group")


def _scores(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    return {
        (row["scenario"], row["instance"]): row
        for row in rows
        if row["variant"] == "original" and row["score"] is not None
    }
