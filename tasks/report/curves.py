"""Loss curves of all experiments."""

from __future__ import annotations

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
    alt = f"Validation loss over epochs of {', '.join(by_name)}"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, (name, history) in enumerate(by_name.items()):
            colour = COLOURS[number % len(COLOURS)]
            dash = DASHES[number // len(COLOURS) % len(DASHES)]
            axes.plot(*zip(*points(history, VALIDATION), strict=True), dash, color=colour, marker=".", label=name)
            if len(by_name) <= len(COLOURS) and (training := points(history, TRAINING)):
                axes.plot(*zip(*training, strict=True), color=colour, linewidth=0.8, alpha=0.35)
        axes.set(xlabel="epoch", ylabel="loss (nats per token)")
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)

    return Chart(
        "losses",
        "Validation loss, with training loss behind it",
        alt,
        svg("losses", draw, 10, 4 + 0.08 * max(0, len(by_name) - 12), alt),
        ["experiment", "epoch", "validation loss"],
        [[name, *point] for name, history in by_name.items() for point in points(history, VALIDATION)],
    )
