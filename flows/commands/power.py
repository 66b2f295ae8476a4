"""The smallest difference that the present test rows can show, known before anything trains."""

from __future__ import annotations

from typing import Any

from tasks.compare.primary import OF_TEXTS
from tasks.core.counted import counted
from tasks.core.files import read_json, read_rows
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.gate.params import PRIMARY, RegistrationParams
from tasks.metrics.differences import POWER, Difference, groups_needed
from tasks.metrics.params import load_verdicts
from tasks.registry.opened import with_metric
from tasks.text.rows import Row, group_key

SHARE, LABEL = 0.2, 0.5
"""Deviation of a paired difference that is assumed where none was measured, of shares and of 0/1 scores.

If ROUGE-1 F1 of one row deviates by 0.15 from its mean, and the scores of two systems correlate by 0.1, then their
difference deviates by 0.15 * sqrt(2 * 0.9) = 0.2. The demo's rows are more alike (bench/RESULTS.md: 0.13). A 0/1 score
that differs between two systems in one row of four deviates by sqrt(0.25) = 0.5.
"""
_LABELS = ("accuracy", "exact_match")
_PERCENT = ("bleu", "chrf")


def power_lines(paths: Paths) -> list[str]:
    """Lines with the difference in the gate's metric that the test rows show with a probability of 80 %, and with the
    number of groups that would show a difference of the margin (``verdicts.margin_of``)."""
    rows = read_rows(paths.evaluation_set / "test.parquet")
    groups = len({group_key(row) for row in rows})
    if groups < 2:
        return []
    params = load(RegistrationParams, paths.params / "registration.yaml", "registration")
    metric = metric_of(params, rows, paths)
    verdicts = load_verdicts(paths.params / "evaluation.yaml")
    deviation, origin = deviation_of(metric, paths)
    one = Difference(0.0, 0.0, 0.0, len(rows), groups, deviation / groups**0.5, 1.0)
    margin = verdicts.margin_of(metric)
    key = f"verdicts.margins.{metric}" if metric in verdicts.margins else "verdicts.margin"
    needed = groups_needed(deviation, margin, params.confidence)
    return [
        f"{counted(groups, 'independent group')} of test rows: a difference of {one.detectable(params.confidence):.3g} "
        f"in {metric} would be shown with {POWER:.0%} power; a smaller one may not be (deviation "
        f"{deviation:.3g} per group, {origin})",
        f"a difference of {margin:g} ({key}) needs about {counted(needed, 'group')}",
    ]


def metric_of(params: RegistrationParams, rows: list[Row], paths: Paths) -> str:
    """The metric by which the gate decides: that of ``params``, else the one that the comparison of these rows takes.

    Before the first comparison, accuracy counts as the metric of rows that all have answer choices.
    """
    if params.metric != PRIMARY:
        return params.metric
    if (paths.comparison / "comparison.json").exists():
        return with_metric(params, paths).metric
    return _LABELS[0] if rows and all(row.get("answer_choices") for row in rows) else OF_TEXTS


def deviation_of(metric: str, paths: Paths) -> tuple[float, str]:
    """Standard deviation of a paired difference in ``metric`` over groups, and where it comes from.

    The largest of those that the last comparison measured between its baseline and the other experiments. Without one,
    a constant.
    """
    path = paths.comparison / "comparison.json"
    comparison: dict[str, Any] = read_json(path) if path.exists() else {"systems": []}
    measured = [
        (difference["error"] * difference["groups"] ** 0.5, entry["name"])
        for entry in comparison["systems"]
        if entry["kind"] == "experiment"
        # A report of an earlier version has no `error`.
        if (difference := (entry["differences"] or {}).get(metric)) and difference.get("error")
    ]
    if measured:
        deviation, name = max(measured)
        return deviation, f"as between {name} and {comparison['baseline']['name']} in the last comparison"
    factor = 100 if metric in _PERCENT else 1
    return factor * (LABEL if metric in _LABELS else SHARE), "assumed, since no comparison has measured it"
