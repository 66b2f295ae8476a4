"""What quality costs: trained parameters, bytes, seconds and memory."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from tasks.compare.cells import Entry, about, kept, kept_of_base, label, number, scale, score, trained
from tasks.report.charts import COLOURS, FAINT, Chart, svg
from tasks.report.facts import Facts, Trained
from tasks.report.sections import Shown

AXES = ("trained parameters", "size in MB", "training in seconds")

GB = 1e9


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
            _scatter(
                axes, [(row[0], row[2 + column], row[1]) for row in rows if row[2 + column] and row[1] is not None]
            )
            axes.set_xlabel(AXES[column])
        for axes in every[:1]:
            axes.set_ylabel(title)

    picture = svg("cost", draw, 10, 3.4, alt)
    return Chart("cost", f"{title} against what it costs", alt, picture, ["experiment", title, *AXES], rows)


def _scatter(axes: Axes, known: list[tuple[str, float, float]]) -> None:
    for index, (name, x, y) in enumerate(known):
        axes.plot(x, y, "o", color=COLOURS[index % len(COLOURS)], markersize=7)
        axes.annotate(name, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8, color=FAINT)
    if known:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.25, y=0.15)


def _quality(entry: Entry, metric: str) -> float | None:
    value = (entry["metrics"].get(metric) or {}).get("value")
    return None if value is None else scale(metric) * value


def _costs(entry: Entry, facts: Facts) -> list[Any]:
    files = facts.trained.get(entry["name"])
    size = about(entry).get("weights_bytes")
    seconds = files.training.get("train_seconds") if files else None
    return [about(entry).get("trainable_parameters"), size / 1e6 if size else None, seconds]
