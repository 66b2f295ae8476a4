"""What quality costs: trained parameters, bytes, seconds and memory."""

from __future__ import annotations

from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from tasks.compare.cells import Entry, about, kept, kept_of_base, label, number, scale, score, trained
from tasks.report.charts import COLOURS, FAINT, Chart, svg
from tasks.report.facts import Facts, Trained
from tasks.report.sections import Shown

SECONDS = "training in seconds"
AXES = ("trained parameters", "size in MB", SECONDS)

GB = 1e9

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""


def cost(facts: Facts) -> Shown | None:
    """Quality against cost, and memory planned and measured; None if nothing was trained."""
    entries = [entry for entry in facts.comparison["systems"] if entry["tuned"]]
    if not entries:
        return None
    return {"rows": [_row(entry, facts) for entry in entries], "chart": cost_chart(entries, facts)}


def _row(entry: Entry, facts: Facts) -> tuple[str, list[str]]:
    files = facts.trained.get(entry["name"]) or Trained({}, {}, {}, [])
    metric, run, memory = facts.comparison["metric"], files.training, files.training.get("memory") or {}
    parameters = about(entry).get("trainable_parameters")
    return entry["name"], [
        entry["method"],
        str(score(entry, metric, scale(metric), interval=False)),
        f"{parameters:,}" if parameters else "–",
        str(trained(entry)),
        str(kept(entry)),
        str(kept_of_base(entry)),
        number(run.get("train_seconds"), digits=0),
        number(run.get("tokens_per_second"), digits=0),
        _gigabytes(memory.get("planned")),
        _gigabytes(memory.get("measured")),
        number(_share(memory.get("planned"), memory.get("measured")), digits=2),
        number(files.prediction.get("rows_per_second"), digits=1),
    ]


TITLES = (
    *("method", "", "trained parameters", "trained %", "size MB", "size % of base", "training s", "tokens per second"),
    *("planned GB", "measured GB", "planned / measured", "outputs per second"),
)


def _gigabytes(value: float | None) -> str:
    return number(None if value is None else value / GB, digits=2)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole else None


def cost_chart(entries: list[Entry], facts: Facts) -> Chart:
    metric = facts.comparison["metric"]
    title = label(metric)
    rows = [[entry["name"], _quality(entry, metric), *_costs(entry, facts)] for entry in entries]
    alt = f"{title} against trained parameters, size and training time of {', '.join(row[0] for row in rows)}"

    shown = [number for number in range(len(AXES)) if any(row[2 + number] for row in rows)]

    def draw(figure: Figure) -> None:
        every = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0] if shown else []
        for column, axes in zip(shown, every, strict=True):
            known = [(row[0], row[2 + column], row[1]) for row in rows if row[2 + column] and row[1] is not None]
            _scatter(axes, known, logarithmic=AXES[column] != SECONDS)
            axes.set_xlabel(AXES[column])
        for axes in every[:1]:
            axes.set_ylabel(title)

    picture = svg("cost", draw, 10, 3.4, alt)
    return Chart("cost", f"{title} against what it costs", alt, picture, ["experiment", title, *AXES], rows)


def _scatter(axes: Axes, known: list[tuple[str, float, float]], logarithmic: bool) -> None:
    """Draw named points of (name, x, y)."""
    for index, (_, x, y) in enumerate(known):
        axes.plot(x, y, "o", color=COLOURS[index % len(COLOURS)], markersize=7)
    if known and logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.15)
    for (name, x, y), (right, above) in zip(known, _sides(axes, known), strict=True):
        axes.annotate(
            name,
            (x, y),
            xytext=(6 if right else -6, 4 if above else -4),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if above else "top",
            fontsize=8,
            color=FAINT,
        )


def _sides(axes: Axes, known: list[tuple[str, float, float]]) -> list[tuple[bool, bool]]:
    """For each point, whether its name is to the right and above: the side that covers the fewest names and points."""
    axes.autoscale_view()  # so that the transformation knows the limits
    to_axes = axes.transData + axes.transAxes.inverted()
    places = [tuple(to_axes.transform((x, y))) for _, x, y in known]
    taken = [(x - 0.015, y - 0.025, x + 0.015, y + 0.025) for x, y in places]
    chosen = []
    for (name, _, _), (x, y) in zip(known, places, strict=True):
        width, height = 0.025 * len(name), 0.06  # of a name of 8 points, as shares of the axes
        boxes = {
            (right, above): (
                *(x + 0.02 if right else x - 0.02 - width, y + 0.01 if above else y - 0.01 - height),
                *(x + 0.02 + width if right else x - 0.02, y + 0.01 + height if above else y - 0.01),
            )
            for right in (True, False)
            for above in (True, False)
        }
        covered = {
            side: sum(map(partial(_overlap, box), taken)) + (box[0] < 0) + (box[2] > 1) for side, box in boxes.items()
        }
        side = min(covered, key=covered.__getitem__)
        taken.append(boxes[side])
        chosen.append(side)
    return chosen


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _quality(entry: Entry, metric: str) -> float | None:
    value = (entry["metrics"].get(metric) or {}).get("value")
    return None if value is None else scale(metric) * value


def _costs(entry: Entry, facts: Facts) -> list[Any]:
    files = facts.trained.get(entry["name"])
    size = about(entry).get("weights_bytes")
    seconds = files.training.get("train_seconds") if files else None
    return [about(entry).get("trainable_parameters"), size / 1e6 if size else None, seconds]
