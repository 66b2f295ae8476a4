"""The table as a picture: scenarios by metrics, with all experiments in every field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tasks.benchmark.helm.intervals import Cell, mark
from tasks.benchmark.helm.scenarios import METRICS
from tasks.benchmark.helm.table import TITLES, cells_of, number

_INK, _FAINT, _BLANK = "#24292f", "#8c959f", "#f1f3f5"
_COLOURS = LinearSegmentedColormap.from_list("worse to better", ["#e8a08c", "#f7f3ea", "#8fbfa8"])
"""Light at both ends, so that numbers on it are readable."""

_PLAIN = "#e6edf5"
_STYLE: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 9, "text.color": _INK}


def goodness(metric: str, kind: str, cell: Cell) -> float | None:
    """A value on the scale from the worst (0) to the best (1) of its metric.

    None if the cell has no value, or the metric has no such scale. Also None for a calibration error so small that a
    perfectly calibrated model may show it by chance.
    """
    if "na" in cell or metric == "efficiency":
        return None
    if cell.get("floor_95") is not None and cell["value"] <= cell["floor_95"]:
        return None
    value = float(cell["value"])
    if metric in ("accuracy", "robustness", "fairness"):
        return value
    if metric == "bias":
        # Without bias: pairs 0.5, BBQ 0 of -1..1, representation 0 of 0..0.5.
        worst = {"pairs": 2 * abs(value - 0.5), "bbq": abs(value), "generation": 2 * value}[kind]
        return 1 - min(1.0, worst)
    return 1 - min(1.0, value)


def draw(results: Sequence[dict[str, Any]], wide: float, path: Path) -> None:
    """Write the picture as PNG; equal results give equal bytes."""
    scenarios = list(results[0]["scenarios"])
    width = max(0.62, 1.3 / len(results)) * len(results)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        size = (2.2 + width * len(METRICS), 1.5 + 0.42 * len(scenarios))
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for row, scenario in enumerate(scenarios):
            for column, metric in enumerate(METRICS):
                for index, result in enumerate(results):
                    x, share = column + 0.03 + 0.94 * index / len(results), 0.94 / len(results)
                    _field(axes, result["scenarios"][scenario], metric, (x, row + 0.04), share, wide)
        _dress(axes, scenarios, [result["experiment"] for result in results])
        figure.supxlabel(
            f"green is better, red is worse on the metric's own scale;  * interval wider than {wide:g};  † calibration "
            "error above that of a calibrated model;  – none",
            fontsize=8,
            color=_FAINT,
        )
        figure.savefig(path, format="png", metadata={"Software": None})


def _field(
    axes: Axes, scenario: dict[str, Any], metric: str, corner: tuple[float, float], width: float, wide: float
) -> None:
    cell = cells_of(scenario)[metric]
    good = goodness(metric, scenario["kind"], cell)
    colour: Any = _COLOURS(good) if good is not None else _BLANK if "na" in cell else _PLAIN
    axes.add_patch(Rectangle(corner, width - 0.015, 0.92, facecolor=colour, edgecolor="none"))
    text = "–" if "na" in cell else number(cell["value"]) + mark(cell, metric, wide)
    axes.text(
        corner[0] + width / 2,
        corner[1] + 0.46,
        text,
        ha="center",
        va="center",
        color=_FAINT if "na" in cell else _INK,
    )


def _dress(axes: Axes, scenarios: list[str], experiments: list[str]) -> None:
    axes.set_xlim(0, len(METRICS))
    axes.set_ylim(len(scenarios), -0.62)
    for column, metric in enumerate(METRICS):
        axes.text(column + 0.5, -0.5, TITLES[metric], ha="center", va="bottom", fontweight="bold")
        for index, name in enumerate(experiments):
            x = column + 0.03 + 0.94 * (index + 0.5) / len(experiments)
            axes.text(x, -0.08, name[:12], ha="center", va="bottom", fontsize=8, color=_FAINT)
    axes.set_yticks([row + 0.5 for row in range(len(scenarios))], scenarios)
    axes.set_xticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
