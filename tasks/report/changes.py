"""What changed since another commit: experiments, scores on the same rows, data and parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tasks.compare.cells import NOTHING, Cell, Comparison, Entry, change, intervals_of, outcome, score
from tasks.compare.cells import scale as scale_of
from tasks.compare.collect import System
from tasks.compare.pairing import row_gains
from tasks.metrics.differences import as_entry, paired_differences
from tasks.metrics.params import VerdictParams
from tasks.metrics.verdicts import rows_needed, verdict
from tasks.report.facts import Facts
from tasks.report.sections import Shown
from tasks.text.rows import Row


@dataclass(frozen=True)
class Earlier:
    """The workspace at another commit.

    Attributes:
        name: of the commit, with its date, such as ``3f2a1b9 of 2026-11-24``.
        rows: system → its predictions; a system whose predictions are gone is missing.
        params: experiment → its resolved parameters, flattened to dotted keys.
        sources: source → md5 of its files.
    """

    name: str
    comparison: Comparison
    rows: dict[str, list[Row]] = field(default_factory=dict)
    params: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def since(facts: Facts, earlier: Earlier) -> Shown:
    """The table of experiments then and now, and the data and parameters that changed."""
    same = facts.comparison["test_sha256"] == earlier.comparison["test_sha256"]
    before = {entry["name"]: entry for entry in earlier.comparison["systems"]}
    now = {entry["name"]: entry for entry in facts.comparison["systems"]}
    return {
        "same_rows": same,
        "rows": [_row(name, before.get(name), now.get(name), facts, earlier, same) for name in {**now, **before}],
        "data": _changed_sources(facts, earlier),
        "params": _changed_params(earlier.params, facts.params),
        "candidates": (earlier.comparison["candidate"], facts.comparison["candidate"]),
    }


def _row(
    name: str, before: Entry | None, now: Entry | None, facts: Facts, earlier: Earlier, same: bool
) -> tuple[str, list[Cell]]:
    metric = facts.comparison["metric"]
    cells = [_score(before, metric), _score(now, metric), *_paired(name, before, now, facts, earlier, same)]
    losses = [_loss(entry) for entry in (before, now)]
    return name, [*cells, *losses]


def _score(entry: Entry | None, metric: str) -> Cell:
    return Cell(NOTHING) if entry is None else score(entry, metric, scale_of(metric))


def _loss(entry: Entry | None) -> Cell:
    return Cell(NOTHING) if entry is None else score(entry, "validation_loss_per_byte", 1.0, 4, interval=False)


def _paired(
    name: str, before: Entry | None, now: Entry | None, facts: Facts, earlier: Earlier, same: bool
) -> tuple[Cell, Cell]:
    """The paired difference, now minus then, and its verdict; words if there is none."""
    if before is None or now is None:
        return Cell(NOTHING), Cell("new" if before is None else "gone")
    system = next((one for one in facts.systems if one.name == name), None)
    if not same or system is None or name not in earlier.rows:
        return Cell(NOTHING), Cell("other test rows" if not same else "its outputs of then are gone")
    entry = _difference(system, earlier.rows[name], facts.comparison)
    metric = facts.comparison["metric"]
    if entry is None:
        return Cell(NOTHING), Cell(NOTHING)
    if before.get("key") == now.get("key") and entry["value"] == entry["error"] == 0:
        return Cell(NOTHING), Cell("no change")
    return change({"differences": {metric: entry}}, metric), outcome({"differences": {metric: entry}}, metric)


def _difference(system: System, rows: list[Row], comparison: Comparison) -> dict[str, Any] | None:
    metric = comparison["metric"]
    gains, groups = row_gains(system.rows, rows, [metric])
    (difference,) = paired_differences(gains, intervals_of(comparison), groups)
    if difference is None:
        return None
    verdicts = VerdictParams(**comparison["verdicts"])
    margin = verdicts.margin_of(metric)
    outcome_of = verdict(difference, margin, verdicts)
    entry = as_entry(difference) | {"verdict": outcome_of, "adjusted": outcome_of in ("better", "worse")}
    if outcome_of == "not enough rows":
        entry["rows_needed"] = rows_needed(difference, margin, verdicts)
    return entry


def _changed_sources(facts: Facts, earlier: Earlier) -> list[str]:
    now = {one.name: one.version for one in facts.sources}
    lines = []
    for name in sorted({*now, *earlier.sources}):
        then, present = earlier.sources.get(name), now.get(name)
        if then != present:
            lines.append(f"{name}: {then[:12] if then else 'not there'} → {present[:12] if present else 'removed'}")
    return lines


def _changed_params(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> list[str]:
    """``lora: lora.rank 8 → 16``, for experiments of both states."""
    return [
        f"{name}: {key} {before[name].get(key, NOTHING)} → {now[name].get(key, NOTHING)}"
        for name in sorted(before.keys() & now.keys())
        for key in sorted({*before[name], *now[name]})
        if before[name].get(key) != now[name].get(key)
    ]
