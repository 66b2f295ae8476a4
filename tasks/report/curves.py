"""Loss curves of all experiments."""

from __future__ import annotations

import math
import statistics
from typing import Any

from matplotlib.figure import Figure

from tasks.report.charts import COLOURS, DASHES, Chart, svg
from tasks.report.facts import Facts
from tasks.report.sections import Shown

VALIDATION, TRAINING = "validation_loss", "train_loss"

Curve = list[tuple[float, float]]
"""(epoch, loss)"""


def curves(facts: Facts) -> Shown | None:
    """Validation losses over epochs, with the training losses behind them; None if nothing was trained."""
    by_name = {name: one.history for name, one in facts.trained.items() if points(one.history, VALIDATION)}
    return {"chart": loss_chart(by_name)} if by_name else None


def points(history: list[dict[str, Any]], name: str) -> Curve:
    return [(line.get("epoch") or 0.0, line[name]) for line in history if line.get(name) is not None]


def loss_chart(by_name: dict[str, list[dict[str, Any]]]) -> Chart:
    """Validation losses, cut off above where a curve begins far above all others."""
    alt = f"Validation loss over epochs of {', '.join(by_name)}"
    with_training = len(by_name) <= len(COLOURS)
    top, cut = _top({name: points(history, VALIDATION) for name, history in by_name.items()})
    titles = [
        "Validation loss" + (", with training loss behind it" if with_training else ""),
        *(f"{name} begins at {start:.2f}" for name, start in cut.items()),
    ]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (name, history) in enumerate(by_name.items()):
            colour = COLOURS[number % len(COLOURS)]
            dash = DASHES[number // len(COLOURS) % len(DASHES)]
            axes.plot(*zip(*points(history, VALIDATION), strict=True), dash, color=colour, marker=".", label=name)
            if with_training and (training := points(history, TRAINING)):
                axes.plot(*zip(*training, strict=True), color=colour, linewidth=0.8, alpha=0.35)
        axes.set(xlabel="epoch", ylabel="loss (nats per token)")
        if top is not None:
            axes.set_ylim(top=top)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)

    return Chart(
        "losses",
        "; ".join(titles),
        alt,
        svg("losses", draw, 10, 4 + 0.08 * max(0, len(by_name) - 12), alt),
        ["experiment", "epoch", "validation loss"],
        [[name, *point] for name, history in by_name.items() for point in points(history, VALIDATION)],
    )


def _top(curves: dict[str, Curve]) -> tuple[float | None, dict[str, float]]:
    """The upper end of the axis, and the curves that begin above it: name → first loss; None if no curve is cut."""
    starts = {name: curve[0][1] for name, curve in curves.items() if math.isfinite(curve[0][1])}
    if not starts:
        return None, {}
    later = [loss for curve in curves.values() for _, loss in curve[1:] if math.isfinite(loss)]
    top = 1.15 * max([statistics.median(starts.values()), *later])
    cut = {name: start for name, start in starts.items() if start > 1.3 * top}
    return (top, cut) if cut else (None, {})
