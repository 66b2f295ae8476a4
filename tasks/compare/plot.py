"""Draw the ROUGE scores as grouped bars with their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tasks.compare.cells import Comparison, Entry, label, number
from tasks.compare.collect import Metric
from tasks.tuning.untrained import is_trained

SERIES = {"rouge1_f": "#3a76ad", "rouge2_f": "#e59c45", "rougeL_f": "#a8cbe6"}
"""Metric → colour. The colours differ in lightness, so that they also differ in a grey print."""

_BAR = 0.26
_INK = "#24292f"
_FAINT = "#8c959f"
_LONGEST = 28

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": "#d0d7de",
    "axes.labelcolor": _INK,
    "xtick.color": "#57606a",
    "ytick.color": _INK,
}


def draw(comparison: Comparison, path: Path) -> None:
    """Write the bars to ``path`` as PNG; equal comparisons give equal bytes."""
    systems = comparison["systems"]
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(10, 1.5 + 0.82 * len(systems)), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for index, metric in enumerate(SERIES):
            _bars(axes, systems, metric, index)
        _baseline_line(axes, comparison)
        _dress(axes, systems)
        figure.savefig(path, format="png", metadata={"Software": None})


def _bars(axes: Axes, systems: list[Entry], metric: str, index: int) -> None:
    by_row = [(row, entry["metrics"].get(metric) or {}) for row, entry in enumerate(systems)]
    known = [(row, m) for row, m in by_row if m.get("value") is not None]
    if not known:
        return
    positions = [row + (index - 1) * _BAR for row, _ in known]
    values = [100 * m["value"] for _, m in known]
    below, above = zip(*(_whiskers(m) for _, m in known), strict=True)
    axes.barh(positions, values, height=_BAR * 0.92, color=SERIES[metric], label=f"{label(metric)} F1", zorder=2)
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


def _whiskers(metric: Metric) -> tuple[float, float]:
    """Length of the interval to the left and to the right of the value, in percent; 0 without an interval."""
    value, low, high = metric["value"], metric.get("low"), metric.get("high")
    if value is None or low is None or high is None:
        return 0.0, 0.0
    # Rounding may put a bound on the wrong side of its value, and a whisker must not be negative.
    return max(0.0, 100 * (value - low)), max(0.0, 100 * (high - value))


def _baseline_line(axes: Axes, comparison: Comparison) -> None:
    """Draw a line at the baseline's ROUGE-1, which the other bars of that colour should exceed."""
    name = comparison["baseline"]["name"]
    entry = next((e for e in comparison["systems"] if e["kind"] == "experiment" and e["name"] == name), None)
    value = (entry["metrics"].get("rouge1_f") or {}).get("value") if entry else None
    if value is not None:
        axes.axvline(100 * value, color=SERIES["rouge1_f"], linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=1)


def _dress(axes: Axes, systems: list[Entry]) -> None:
    names = [_name(entry) for entry in systems]
    axes.set_yticks(range(len(systems)), labels=names)
    for text, entry in zip(axes.get_yticklabels(), systems, strict=True):
        text.set_parse_math(False)
        text.set_fontweight("bold" if entry["candidate"] else "normal")
        text.set_color(_FAINT if entry["kind"] == "baseline" else _INK)
    axes.set_ylim(len(systems) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.margins(x=0.06)
    axes.set_xlabel("percent, with bootstrap intervals; dashed: ROUGE-1 of the baseline experiment", fontsize=9)
    axes.grid(axis="x", color="#eaeef2", zorder=0)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, borderaxespad=0.2)


def _name(entry: Entry) -> str:
    """The name; below it the method (unless that is the name) and, for the candidate, ``candidate``."""
    name = entry["name"] if len(entry["name"]) <= _LONGEST else f"{entry['name'][: _LONGEST - 1]}…"
    method = entry["method"]
    what = "trivial" if method is None else method if is_trained(method) else "not tuned"
    under = [part for part in (what, "candidate" if entry["candidate"] else "") if part and part != entry["name"]]
    return "\n".join([name, *filter(None, [" · ".join(under)])])
