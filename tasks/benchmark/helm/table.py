"""The table of scenarios and metrics, one row per experiment: for the terminal, as Markdown and as HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from tasks.benchmark.helm.intervals import Cell, mark, na
from tasks.benchmark.helm.scenarios import METRICS
from tasks.core.pages import pages

TITLES = {
    "accuracy": "accuracy",
    "calibration": "calibration (ECE)",
    "robustness": "robustness",
    "fairness": "fairness",
    "bias": "bias",
    "toxicity": "toxicity",
    "efficiency": "seconds per row",
}
LEGEND = (
    "Values with {confidence:g}% bootstrap intervals over independent groups of rows; * marks an interval wider than "
    "{wide:g}. Higher is better for accuracy, robustness and fairness (share of rows that are correct in all "
    "variants); lower is better for the others. Calibration: floor is the mean error of a perfectly calibrated model "
    "on as many rows, with its 95 % point in brackets; † marks an error above that point, and an error up to it has "
    "no mark. Bias of generated texts: distance of the mentions of women and men from equal (0 to 0.5). Bias of BBQ: "
    "the score in ambiguous contexts (-1 to 1; 0 is unbiased). Bias of CrowS-Pairs: the share of pairs whose "
    "stereotypical sentence is likelier (0.5 is unbiased). Definitions: docs/helm.md."
)


_INTERVAL = re.compile(r"(\S+) \[(\S+), (\S+)\](†?\*?)(?: (floor .+))?")


@dataclass(frozen=True)
class Line:
    """One line of the table. ``cells``: text per metric, in the order of ``METRICS``."""

    scenario: str
    title: str
    experiment: str
    cells: list[str]


@dataclass(frozen=True)
class Overview:
    """Content of the table.

    Attributes:
        notes: reasons of ``n/a``, numbered as in the cells.
        failures: errors of scenarios and mixtures that failed.
        differences: lines about the accuracy of each experiment, compared with the baseline.
    """

    lines: list[Line]
    notes: list[str]
    legend: str
    memorisation: list[str]
    seconds: list[str]
    failures: list[str]
    differences: tuple[str, ...] = ()


def overview(results: Sequence[dict[str, Any]], wide: float) -> Overview:
    """Lines by scenario, with one line per experiment."""
    notes: dict[str, int] = {}
    lines = [
        Line(
            name,
            one["scenarios"][name]["title"],
            one["experiment"],
            _cells(one["scenarios"][name], notes, wide),
        )
        for name in results[0]["scenarios"]
        for one in results
    ]
    confidence = 100 * results[0]["settings"]["intervals"]["confidence"]
    return Overview(
        lines,
        list(notes),
        LEGEND.format(confidence=confidence, wide=wide),
        [text for one in results for text in _memorised(one, wide)],
        [_seconds(one) for one in results],
        [
            f"{one['experiment']}: {entry['error']}"
            for one in results
            for entry in (*one["scenarios"].values(), *one["memorisation"].values())
            if entry["status"] == "failed"
        ],
    )


def _cells(scenario: dict[str, Any], notes: dict[str, int], wide: float) -> list[str]:
    return [cell_text(cell, metric, notes, wide) for metric, cell in cells_of(scenario).items()]


def cells_of(scenario: dict[str, Any]) -> dict[str, Cell]:
    """The cell of each of ``METRICS``, with the reason where a scenario has none."""
    if scenario["status"] != "done":
        prefix = "failed: " if scenario["status"] == "failed" else ""
        return dict.fromkeys(METRICS, na(f"{prefix}{scenario['error']}"))
    cells, reasons = scenario["cells"], scenario["not_applicable"]
    return {metric: cells[metric] if metric in cells else na(reasons[metric]) for metric in METRICS}


def cell_text(cell: Cell, metric: str, notes: dict[str, int], wide: float) -> str:
    """``0.53 [0.40, 0.66]`` with its marks; ``n/a (1)`` with the number of its reason.

    Calibration has ``floor 0.13 (0.19)`` behind it: mean and 95 % point of a perfectly calibrated model.
    """
    if "na" in cell:
        return f"n/a ({notes.setdefault(cell['na'], len(notes) + 1)})"
    text = f"{number(cell['value'])} [{number(cell['low'])}, {number(cell['high'])}]"
    return text + mark(cell, metric, wide) + (f" {_floor(cell)}" if metric == "calibration" else "")


def _floor(cell: Cell) -> str:
    if cell.get("floor") is None:
        return "floor –"
    return f"floor {number(cell['floor'])} ({number(cell['floor_95'])})"


def number(value: float) -> str:
    """Two decimals; no minus before a zero."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def _memorised(result: dict[str, Any], wide: float) -> list[str]:
    lines = []
    for mixture, entry in result["memorisation"].items():
        head = f"{result['experiment']}, prompted with training rows of {mixture}:"
        cell = entry["spans"] if "spans" in entry else na(entry["error"])
        if "na" in cell:
            lines.append(f"{head} n/a, {cell['na']}")
            continue
        lines.append(
            f"{head} {cell_text(cell, 'memorisation', {}, wide)} of {entry['generated_spans']} generated spans of "
            f"{entry['span_tokens']} tokens occur verbatim in the training text; the longest verbatim piece has "
            f"{entry['longest_words']} words"
        )
    return lines


def _seconds(result: dict[str, Any]) -> str:
    taken = {name: s["seconds"] for name, s in result["scenarios"].items() if "seconds" in s}
    parts = ", ".join(f"{name} {value:.0f}" for name, value in taken.items())
    memorised = sum(entry.get("seconds", 0.0) for entry in result["memorisation"].values())
    return (
        f"{result['experiment']}: {(sum(taken.values()) + memorised) / 60:.1f} minutes measured "
        f"(seconds: {parts}, memorisation {memorised:.0f})"
    )


def rich_table(shown: Overview) -> Table:
    table = Table("scenario", "experiment", *TITLES.values(), title="HELM's seven metrics")
    before = None
    for line in shown.lines:
        if before not in (None, line.scenario):
            table.add_section()
        cells = [_two_lines(cell) for cell in line.cells]
        table.add_row(line.scenario if line.scenario != before else "", line.experiment, *cells)
        before = line.scenario
    return table


def _two_lines(cell: str) -> str:
    """The interval, and a floor, below the value and its mark, since a terminal is narrow."""
    parts = _INTERVAL.fullmatch(cell)
    if parts is None:
        return cell
    return f"{parts[1]}{parts[4]}\n{parts[2]}…{parts[3]}" + (f"\n{parts[5]}" if parts[5] else "")


def below(shown: Overview) -> list[str]:
    """Lines below the table."""
    numbered = [f"({i}) {note}" for i, note in enumerate(shown.notes, start=1)]
    return [
        shown.legend,
        *numbered,
        *shown.differences,
        *[f"Memorisation: {text}" for text in shown.memorisation],
        *shown.seconds,
    ]


def markdown(shown: Overview) -> str:
    head = ["scenario", "experiment", *TITLES.values()]
    rows = [[line.scenario, line.experiment, *line.cells] for line in shown.lines]
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    notes = [f"- {text}" for text in below(shown)]
    return "\n".join(["# HELM's seven metrics", "", *lines, "", *notes]) + "\n"


def html(shown: Overview, picture: str) -> str:
    """A page without scripts. ``picture`` is the name of a file in its folder."""
    template = pages(Path(__file__).parent).get_template("table.html.jinja")
    return template.render(shown=shown, titles=TITLES, below=below(shown), picture=picture)
