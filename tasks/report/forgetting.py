"""Tasks that were not tuned on: kept, lost or gained, as a table and as a map of tasks and experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tasks.compare.cells import NOTHING, Comparison, label, number, scale
from tasks.metrics.verdicts import needed
from tasks.report.charts import INK, ON_DARK, ON_LIGHT, Chart, svg
from tasks.report.facts import Facts
from tasks.report.sections import Shown


def forgetting(facts: Facts) -> Shown | None:
    """None without retention rows."""
    rows = retention_rows(facts.comparison)
    return {"rows": rows, "chart": forgetting_map(facts.comparison)} if rows else None


def retention_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per tuned experiment and retention task.

    A row has ``name``, ``task``, ``verdict``, ``needed`` (text about the rows that would decide), ``cells`` (metric,
    before, after, difference, rows) and ``examples`` of rows that lost most.
    """
    return [
        {
            "name": entry["name"],
            "task": f"{task} (trained on)" if kept["trained"] else task,
            "verdict": kept["verdict"],
            "needed": needed(kept),
            "cells": [label(kept["metric"]), *_before_and_after(kept)],
            "examples": kept["examples"],
        }
        for entry in comparison["systems"]
        for task, kept in entry.get("retention", {}).items()
    ]


def _before_and_after(kept: dict[str, Any]) -> list[str]:
    if "difference" not in kept:
        return [NOTHING] * 4
    factor, digits = _units(kept["metric"])
    change = [number(kept["difference"][key], factor, digits, signed=True) for key in ("value", "low", "high")]
    return [
        number(kept["before"], factor, digits),
        number(kept["after"], factor, digits),
        f"{change[0]} [{change[1]}, {change[2]}]",
        str(kept["difference"]["rows"]) + (f" ({kept['unpaired']} unpaired)" if kept["unpaired"] else ""),
    ]


def _units(metric: str) -> tuple[float, int]:
    return (1.0, 4) if metric == "loss_per_byte" else (scale(metric), 1)


def forgetting_map(comparison: Comparison) -> Chart:
    """Tasks by experiments: the score after tuning minus before, coloured by its size."""
    entries = [entry for entry in comparison["systems"] if entry.get("retention")]
    tasks = list(dict.fromkeys(task for entry in entries for task in entry["retention"]))
    names = [entry["name"] for entry in entries]
    rows = [[task, entry["name"], *_judged(entry["retention"].get(task, {}))] for task in tasks for entry in entries]
    alt = f"What {', '.join(names)} kept, lost or gained of {', '.join(tasks)}"
    shares = np.array([_colour(row) for row in rows]).reshape(len(tasks), len(names))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(np.ma.masked_invalid(shares), cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
        for number_of, row in enumerate(rows):
            at = number_of % len(names), number_of // len(names)
            share = shares[at[1], at[0]]
            colour = INK if np.isnan(share) else ON_DARK if abs(share) > 0.6 else ON_LIGHT
            text = f"{row[5]}\n{row[6]}" if row[5] else "–"
            axes.text(*at, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(names)), labels=names, fontsize=9)
        axes.set_yticks(range(len(tasks)), labels=tasks, fontsize=9)
        axes.tick_params(length=0)

    return Chart(
        "forgetting",
        "Tasks that were not tuned on: change of the score, and what it shows",
        alt,
        svg("forgetting", draw, min(10.0, 3 + 1.3 * len(names)), 1 + 0.6 * len(tasks), alt),
        ["task", "experiment", "metric", "before", "after", "difference", "verdict"],
        rows,
    )


def _judged(kept: dict[str, Any]) -> list[Any]:
    if "difference" not in kept:
        return [None, None, None, None, kept.get("verdict", "not judged")]
    factor, digits = _units(kept["metric"])
    shown = number(kept["difference"]["value"], factor, digits, signed=True)
    return [label(kept["metric"]), factor * kept["before"], factor * kept["after"], shown, kept["verdict"]]


def _colour(row: list[Any]) -> float:
    """Change in the direction of better, from -1 to 1; NaN if it was not judged.

    Of a loss it is a share of the loss before; of a score it is a share of 100, since a score before may be 0.
    """
    before, after = row[3], row[4]
    if before is None or after is None:
        return float("nan")
    change = (before - after) / max(before, 1e-9) if row[2] == label("loss_per_byte") else (after - before) / 100
    return float(np.clip(change, -1, 1))
