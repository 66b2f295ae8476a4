"""Scores of all systems, and their differences to the baseline, the champion and the other untuned systems."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from tasks.compare.cells import (
    NOTHING,
    Cell,
    Comparison,
    Entry,
    change,
    columns,
    label,
    outcome,
    relative,
    scale,
    sign_columns,
    sign_floors,
)
from tasks.compare.plot import draw_scores, plotted, score_height
from tasks.compare.seeds import seed_lines
from tasks.compare.table import legend, marks
from tasks.metrics.names import HIGHER_IS_BETTER
from tasks.report.charts import Chart, svg
from tasks.report.facts import Facts
from tasks.report.sections import Shown


def scores(facts: Facts) -> Shown:
    """Table and chart of the scores."""
    comparison = facts.comparison
    return {
        "columns": columns(comparison),
        "legend": legend(comparison),
        "seeds": seed_lines(comparison),
        "chart": score_chart(comparison),
    }


def score_chart(comparison: Comparison) -> Chart:
    metrics = plotted(comparison)
    names = ", ".join(map(label, metrics))
    alt = f"{names} of every system with their intervals"

    def draw(figure: Figure) -> None:
        draw_scores(comparison, figure)

    systems = comparison["systems"]
    return Chart(
        "scores",
        f"{names} with intervals",
        alt,
        svg("scores", draw, 10, score_height(comparison), alt),
        ["system", *(f"{label(metric)} {end}".strip() for metric in metrics for end in ("", "low", "high"))],
        [[entry["name"], *(value for metric in metrics for value in _interval(entry, metric))] for entry in systems],
    )


def _interval(entry: Entry, metric: str) -> list[float | None]:
    measured = entry["metrics"].get(metric) or {}
    values = [measured.get(end) for end in ("value", "low", "high")]
    return [None if value is None else scale(metric) * value for value in values]


def differences(facts: Facts) -> Shown | None:
    """The differences to the baseline in every metric, and in the primary one to the other untuned systems."""
    comparison = facts.comparison
    table = changes(comparison)
    if not table["rows"]:
        return None
    return {
        "changes": table,
        "marks": " ".join(marks(comparison, "bold")),
        "against": against(comparison),
        "champion": champion_rows(facts),
    }


def changes(comparison: Comparison) -> dict[str, Any]:
    """The table of differences to the baseline: ``titles`` of its columns, and ``rows`` of (name, cells).

    The verdict on the primary metric and its change in percent follow its difference. ``plain``: whether a column has
    no better or worse side, such as copied 4-grams.
    """
    compared = [entry for entry in comparison["systems"] if entry["differences"]]
    primary = comparison["metric"]
    others = sorted({name for entry in compared for name in entry["differences"]} - {primary}, key=_order)
    relatives = [relative(entry, comparison, primary) for entry in compared]
    percent = any(cell.value != NOTHING for cell in relatives)
    titles = [f"Δ {label(primary)} (primary)", "verdict", *(["change"] if percent else [])]
    return {
        "titles": [*titles, *(f"Δ {label(name)}" for name in others)],
        "plain": [*(False for _ in titles), *(name not in HIGHER_IS_BETTER for name in others)],
        "rows": [
            (
                entry["name"],
                [
                    change(entry, primary),
                    outcome(entry, primary),
                    *([of_baseline] if percent else []),
                    *(change(entry, name) for name in others),
                ],
            )
            for entry, of_baseline in zip(compared, relatives, strict=True)
        ],
    }


def _order(metric: str) -> tuple[bool, str]:
    return not metric.startswith("rouge"), metric


def against(comparison: Comparison) -> dict[str, Any]:
    """Differences in the primary metric to few-shot prompts and trivial baselines: ``names``, and rows of cells."""
    tuned = [entry for entry in comparison["systems"] if entry.get("opponents")]
    names = list(dict.fromkeys(name for entry in tuned for name in entry["opponents"]))
    return {
        "names": names,
        "rows": [(entry["name"], [_against(entry, name, comparison) for name in names]) for entry in tuned],
    }


def _against(entry: Entry, opponent: str, comparison: Comparison) -> tuple[Cell, Cell]:
    metric = comparison["metric"]
    apart = {"differences": {metric: entry["opponents"].get(opponent)}}
    return change(apart, metric), outcome(apart, metric)


def champion_rows(facts: Facts) -> list[tuple[str, Cell]]:
    """The gate's difference of the candidate to the champion; empty if the gate did not compare them."""
    decision = facts.decision or {}
    difference = decision.get("differences", {}).get("champion")
    if difference is None:
        return []
    metric = str(decision["metric"])
    shown = change({"differences": {metric: difference}}, metric)
    return [(f"{decision['candidate']} − {decision['opponents']['champion']}", shown)]


def signs(facts: Facts) -> Shown | None:
    """Signs of bad texts that score well; None for reports of earlier versions."""
    shown = sign_columns(facts.comparison)
    return {"columns": shown, "floors": sign_floors(facts.comparison)} if shown else None


def warnings(comparison: Comparison) -> tuple[list[str], list[str]]:
    """Warnings about tuned systems, and about untuned ones, which are no news."""
    tuned = {entry["name"] for entry in comparison["systems"] if entry["tuned"]}
    every = comparison["warnings"]
    return (
        [one["message"] for one in every if one["system"] in tuned or one["kind"] == "not scored"],
        [one["message"] for one in every if not (one["system"] in tuned or one["kind"] == "not scored")],
    )
