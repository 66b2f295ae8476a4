"""Draw the scores as bars with their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tasks.compare.cells import NOTHING, Cell, Comparison, Entry, baseline_entry, label, number, outcome, scale
from tasks.compare.collect import Metric
from tasks.tuning.untrained import is_trained

SERIES = {"rouge1_f": "#3a76ad", "rouge2_f": "#e59c45", "rougeL_f": "#a8cbe6"}
"""Metric → colour. The colours differ in lightness, so that they also differ in a grey print."""

_OTHER = "#3a76ad"
"""Colour of another primary metric."""

_BAR = 0.26
_INK = "#24292f"
_FAINT = "#6b7580"
_LONGEST = 28

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": "#d0d7de",
    "axes.labelcolor": _INK,
    "xtick.color": _FAINT,
    "ytick.color": _INK,
}


def draw(comparison: Comparison, path: Path) -> None:
    """Write the bars to ``path`` as PNG; equal comparisons give equal bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(10, score_height(comparison)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        draw_scores(comparison, figure)
        figure.savefig(path, format="png", metadata={"Software": None})


def score_height(comparison: Comparison) -> float:
    """Height of the chart in inches, for a width of 10."""
    return 1.5 + (0.82 if len(plotted(comparison)) > 1 else 0.45) * len(comparison["systems"])


def plotted(comparison: Comparison) -> list[str]:
    """The metrics that the chart shows: ROUGE if it is primary, else the primary metric alone."""
    primary = comparison["metric"]
    return list(SERIES) if primary in SERIES else [primary]


def draw_scores(comparison: Comparison, figure: Figure) -> None:
    """Draw one group of bars per system into ``figure``, with the verdict on it beside its name."""
    systems, metrics = comparison["systems"], plotted(comparison)
    axes = figure.add_subplot()
    for index, metric in enumerate(metrics):
        height = _BAR if len(metrics) > 1 else 2 * _BAR
        _bars(axes, systems, metric, (index - (len(metrics) - 1) / 2) * height, height)
    _baseline_line(axes, comparison)
    _dress(axes, comparison)


def _bars(axes: Axes, systems: list[Entry], metric: str, offset: float, height: float) -> None:
    by_row = [(row, entry["metrics"].get(metric) or {}) for row, entry in enumerate(systems)]
    known = [(row, m) for row, m in by_row if m.get("value") is not None]
    if not known:
        return
    positions = [row + offset for row, _ in known]
    values = [scale(metric) * m["value"] for _, m in known]
    below, above = zip(*(_whiskers(m, scale(metric)) for _, m in known), strict=True)
    colour = SERIES.get(metric, _OTHER)
    axes.barh(positions, values, height=height * 0.92, color=colour, label=label(metric), zorder=2)
    axes.errorbar(values, positions, xerr=(below, above), fmt="none", ecolor=_INK, elinewidth=1, capsize=2.5, zorder=3)
    for value, reach, position in zip(values, above, positions, strict=True):
        axes.annotate(
            number(value),
            (value + reach, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            zorder=4,
            bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none"},
        )


def _whiskers(metric: Metric, factor: float) -> tuple[float, float]:
    """Length of the interval to the left and to the right of the shown value; 0 without an interval."""
    value, low, high = metric["value"], metric.get("low"), metric.get("high")
    if value is None or low is None or high is None:
        return 0.0, 0.0
    # Rounding may put a bound on the wrong side of its value, and a whisker must not be negative.
    return max(0.0, factor * (value - low)), max(0.0, factor * (high - value))


def _baseline_line(axes: Axes, comparison: Comparison) -> None:
    """Draw a line at the baseline's primary score, which the other bars of that colour should exceed."""
    entry, metric = baseline_entry(comparison), plotted(comparison)[0]
    value = (entry["metrics"].get(metric) or {}).get("value") if entry else None
    if value is not None:
        colour = SERIES.get(metric, _OTHER)
        axes.axvline(scale(metric) * value, color=colour, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=1)


def _dress(axes: Axes, comparison: Comparison) -> None:
    systems, metric = comparison["systems"], plotted(comparison)[0]
    names = [_name(entry, outcome(entry, comparison["metric"])) for entry in systems]
    axes.set_yticks(range(len(systems)), labels=names)
    for text, entry in zip(axes.get_yticklabels(), systems, strict=True):
        text.set_parse_math(False)
        text.set_fontweight("bold" if entry["candidate"] else "normal")
        text.set_color(_FAINT if entry["kind"] == "baseline" else _INK)
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.margins(x=0.06)
    unit = "percent" if scale(metric) == 100 else "points"
    dashed = f"dashed: {label(metric)} of {comparison['baseline']['name']}"
    axes.set_xlabel(f"{unit}, with bootstrap intervals; {dashed}; verdicts are on the difference to it", fontsize=9)
    axes.grid(axis="x", color="#eaeef2", zorder=0)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)


def _name(entry: Entry, verdict: Cell) -> str:
    """The name; below it the method (unless that is the name), ``candidate`` and the verdict, if there is one."""
    name = entry["name"] if len(entry["name"]) <= _LONGEST else f"{entry['name'][: _LONGEST - 1]}…"
    method = entry["method"]
    what = "trivial" if method is None else method if is_trained(method) else "not tuned"
    shown = verdict.value if verdict.value != NOTHING else ""
    under = [
        part for part in (what, "candidate" if entry["candidate"] else "", shown) if part and part != entry["name"]
    ]
    return "\n".join([name, *filter(None, [" · ".join(under)])])
