"""Sets of experiments with their plateaus, and scores per source and task."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from tasks.compare.small_tables import set_table, task_tables
from tasks.report.charts import COLOURS, FAINT, Chart, svg
from tasks.report.facts import Facts
from tasks.report.sections import Shown

WIDE = 8
"""If the largest value of an axis is more than this many times the smallest, the axis is logarithmic."""


def sets(facts: Facts) -> Shown | None:
    """Per set its table, its sentences and, for a sweep of numbers, the chart of the losses; None without a set."""
    of_sets = facts.comparison.get("sets") or {}
    if not of_sets:
        return None
    return {"sets": [(set_table(name, entry), _chart(name, entry)) for name, entry in of_sets.items()]}


def per_task(facts: Facts) -> Shown | None:
    """The table of sources and tasks; None if there is one task."""
    tables = task_tables(facts.comparison)
    return {"tables": tables} if tables else None


def _chart(name: str, entry: dict[str, Any]) -> Chart | None:
    known = [
        (one["value"], one["validation_loss_per_byte"], one["experiment"])
        for one in entry["experiments"]
        if isinstance(one["value"], int | float) and one["validation_loss_per_byte"] is not None
    ]
    if entry["axis"] is None or len(known) < 2:
        return None
    axis, on_plateau = entry["axis"], set((entry["plateau"] or {}).get("experiments", ()))
    alt = f"Validation loss per byte over {axis} of the set {name}; filled points are not told apart from the best"
    values = [value for value, _, _ in known]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot(values, [loss for _, loss, _ in known], "-", color=COLOURS[0], linewidth=1)
        for value, loss, experiment in known:
            filled = COLOURS[0] if experiment in on_plateau else "none"
            axes.plot(value, loss, "o", markersize=8, markerfacecolor=filled, markeredgecolor=COLOURS[0])
            axes.annotate(
                experiment,
                (value, loss),
                xytext=(0, 8),
                textcoords="offset points",
                fontsize=8,
                color=FAINT,
                ha="center",
            )
        if min(values) > 0 and max(values) > WIDE * min(values):
            axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(values, labels=[f"{value:g}" for value in values])
        axes.margins(y=0.2)
        axes.set(xlabel=axis, ylabel="validation loss (nats/byte)")

    return Chart(
        f"set-{name}",
        f"{axis}: filled points are not told apart from the best",
        alt,
        svg(f"set-{name}", draw, 8, 3.2, alt),
        [axis, "validation loss (nats/byte)", "experiment", "on the plateau"],
        [[value, loss, experiment, "yes" if experiment in on_plateau else "no"] for value, loss, experiment in known],
    )
