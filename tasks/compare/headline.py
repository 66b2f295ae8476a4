"""What a comparison shows, in sentences: the same for terminal, report, Prefect and MLflow."""

from __future__ import annotations

from typing import Any

from tasks.compare.cells import Comparison, Entry, baseline_entry, label, number, relative, scale
from tasks.metrics.names import CORPUS
from tasks.metrics.params import VerdictParams
from tasks.metrics.verdicts import needed


def headline(comparison: Comparison) -> list[str]:
    """At most three sentences: the candidate against the baseline, who may be the best, and why it is the candidate."""
    candidate = next((entry for entry in comparison["systems"] if entry["candidate"]), None)
    if candidate is None:
        first = "There is no candidate: no tuned experiment has a validation loss."
    else:
        first = _against_baseline(candidate, comparison)
    return [*filter(None, [first, best_line(comparison)]), *([_why(candidate)] if candidate is not None else [])]


def _why(candidate: Entry) -> str:
    return f"{candidate['name']} is the candidate: it has the lowest validation loss of the tuned experiments."


def _against_baseline(candidate: Entry, comparison: Comparison) -> str:
    metric, baseline = comparison["metric"], comparison["baseline"]["name"]
    difference = (candidate["differences"] or {}).get(metric)
    if difference is None or not difference.get("verdict"):  # comparisons of earlier versions have none
        return ""
    name, title = candidate["name"], label(metric)
    value, low, high = (number(difference[key], scale(metric), signed=True) for key in ("value", "low", "high"))
    apart = f"{value} [{low}, {high}]"
    if difference["verdict"] == "same":
        margin = number(VerdictParams(**comparison["verdicts"]).margin_of(metric), scale(metric))
        return f"{name} and {baseline} are the same in {title}, within the margin of {margin}: {apart}."
    scores = _scores(candidate, comparison)
    if difference["verdict"] == "not enough rows":
        rows = f"{difference['rows']} test rows"
        return f"{rows} are not enough to tell {name} from {baseline} in {title}: {scores}{apart}{needed(difference)}."
    unadjusted = (
        ""
        if difference.get("adjusted")
        else "; it does not hold after adjustment for the number of differences in the report"
    )
    return f"{name} is {difference['verdict']} than {baseline} in {title}: {scores}{apart}{unadjusted}."


def _scores(candidate: Entry, comparison: Comparison) -> str:
    """``41.2 against 22.2 (+86 %), `` if both have the score, and the difference is that of these two numbers."""
    metric, baseline = comparison["metric"], baseline_entry(comparison)
    values = [((one or {}).get("metrics", {}).get(metric) or {}).get("value") for one in (candidate, baseline)]
    if metric in CORPUS or any(value is None for value in values):
        return ""
    ours, theirs = (number(value, scale(metric)) for value in values)
    change = relative(candidate, comparison, metric).value
    return f"{ours} against {theirs}" + (f" ({change})" if change.endswith("%") else "") + ", "


def best_line(comparison: Comparison) -> str:
    """Who may be the best of more than three systems; empty for fewer, and for comparisons of earlier versions."""
    best: dict[str, Any] | None = comparison.get("best")
    if best is None:
        return ""
    title = label(best["metric"]) + (" as the mean of rows" if best["metric"] in CORPUS else "")
    highest = f"Of {best['systems']} systems, {best['system']} has the highest {title}"
    if not best["enough"]:
        return f"{highest}; there are too few independent rows ({best['groups']}) to tell any of them apart."
    if not best["not_told_apart"]:
        return f"{highest}; each of the others is shown to be worse."
    return f"{highest}; it cannot be told apart from: {', '.join(best['not_told_apart'])}."
