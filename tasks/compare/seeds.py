"""Experiments that differ in their seed alone: their scores together, beside the interval over rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tasks.compare.cells import Comparison, label, number, scale
from tasks.compare.collect import System
from tasks.compare.pairing import gains, shared_scores
from tasks.compare.params import CompareParams
from tasks.compare.repeated import repeated_by, seed_of
from tasks.core.paths import Paths
from tasks.metrics.differences import as_entry, paired_difference
from tasks.metrics.seeds import spread
from tasks.metrics.statistics import averaged_columns, mean_interval
from tasks.text.rows import ROW_KEY, Row, row_key


def with_seeds(systems: list[System], paths: Paths) -> list[System]:
    """Add ``seed`` and ``repeats`` to the experiments of ``systems``."""
    return [
        replace(s, seed=seed_of(paths, s.name), repeats=repeated_by(paths, s.name)) if s.kind == "experiment" else s
        for s in systems
    ]


def over_seeds(compared: list[System], baseline: System | None, params: CompareParams) -> dict[str, dict[str, Any]]:
    """Scores of each experiment over its seeds, over the test rows that all its trainings have a score for.

    Returns:
        Name of the repeated experiment → ``experiments`` and ``seeds`` (in order), ``metric``, ``mean`` and
        ``deviation`` (over seeds), ``low`` and ``high`` (interval over rows of the scores averaged over seeds),
        ``rows`` and ``difference``. The difference to the baseline has ``deviation`` too, and the keys of ``as_entry``;
        None without a baseline. An experiment with one seed, or without a score in the primary metric, has no entry.
    """
    by_name = {name: _entry(members, baseline, params) for name, members in _groups(compared).items()}
    return {name: entry for name, entry in by_name.items() if entry is not None}


def _groups(compared: list[System]) -> dict[str, list[System]]:
    """Experiment → its trainings, one per seed; at least two."""
    groups: dict[str, dict[int, System]] = {}
    for system in compared:
        if system.seed is not None:
            groups.setdefault(system.repeats or system.name, {}).setdefault(system.seed, system)
    return {name: list(by_seed.values()) for name, by_seed in groups.items() if len(by_seed) > 1}


def _entry(members: list[System], baseline: System | None, params: CompareParams) -> dict[str, Any] | None:
    scores, groups = shared_scores(members, params.primary)
    if not len(scores):
        return None
    means = spread(scores.mean(axis=0).tolist())
    interval = mean_interval(scores.mean(axis=1), params, groups)
    names = [system.name for system in members]
    return {
        "experiments": names,
        "seeds": [system.seed for system in members],
        "metric": params.primary,
        "mean": means.mean,
        "deviation": means.deviation,
        "low": interval.low,
        "high": interval.high,
        "rows": len(scores),
        "difference": _difference(members, baseline, params) if baseline and baseline.name not in names else None,
    }


def _difference(members: list[System], baseline: System, params: CompareParams) -> dict[str, Any] | None:
    """The difference to the baseline, averaged over seeds; None if no row has all scores."""
    by_member = [gains(system.rows, baseline.rows, params.primary) for system in members]
    rows: list[Row] = [
        {name: row[name] for name in ROW_KEY}
        | {"group": row.get("group")}
        | {str(number): gain[row_key(row)] for number, gain in enumerate(by_member)}
        for row in members[0].rows
        if all(row_key(row) in gain for gain in by_member)
    ]
    if not rows:
        return None
    differences, groups = averaged_columns(rows, [str(number) for number in range(len(members))])
    together = paired_difference(differences.mean(axis=1), params, groups)
    return as_entry(together) | {"deviation": spread(differences.mean(axis=0).tolist()).deviation}


def seed_lines(comparison: Comparison) -> list[str]:
    """One line per experiment with several seeds; none for comparisons of earlier versions."""
    return [_line(name, entry, comparison) for name, entry in comparison.get("seeds", {}).items()]


def _line(name: str, entry: dict[str, Any], comparison: Comparison) -> str:
    factor = scale(entry["metric"])

    def shown(value: float, signed: bool = False) -> str:
        return number(value, factor, signed=signed)

    line = (
        f"{name} over {len(entry['seeds'])} seeds: {label(entry['metric'])} {shown(entry['mean'])} ± "
        f"{shown(entry['deviation'])} (deviation over seeds); interval over rows [{shown(entry['low'])}, "
        f"{shown(entry['high'])}]"
    )
    if difference := entry["difference"]:
        value, low, high = (shown(difference[key], signed=True) for key in ("value", "low", "high"))
        line += f"; Δ vs {comparison['baseline']['name']} {value} ± {shown(difference['deviation'])} [{low}, {high}]"
    if comparison["candidate"] in entry["experiments"]:
        line += (
            f"; the candidate {comparison['candidate']} is the seed with the lowest validation loss, not a typical one"
        )
    return f"{line}."
