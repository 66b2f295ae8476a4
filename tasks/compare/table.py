"""The comparison as a table: in GitHub Markdown, and for the terminal with rich."""

from __future__ import annotations

import textwrap
from typing import Literal

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from tasks.compare.cells import (
    Cell,
    Column,
    Comparison,
    columns,
    difference_columns,
    label,
    number,
    outcome,
    remarks,
    scale,
)
from tasks.compare.headline import headline
from tasks.compare.seeds import seed_lines
from tasks.compare.small_tables import SmallTable, small_tables
from tasks.metrics.params import VerdictParams

WIDTH = 120

KEEPS_INTERVAL = 9
"""Columns of at least this importance keep their interval at any width: ROUGE-1 and the difference."""

_STYLES = {1: "bold green", -1: "bold red", 0: ""}


def markdown_table(comparison: Comparison) -> str:
    """What the comparison shows in sentences, then one row per system, then remarks, then the tables of sets and tasks.

    The candidate is marked, and adjusted differences are bold.
    """
    shown = [*columns(comparison), *difference_columns(comparison)]
    lines = [
        *(_escape(sentence) for sentence in headline(comparison)),
        "",
        _row(["experiment", *(c.title for c in shown)]),
        _row(["---", *("---:" if c.title != "method" else "---" for c in shown)]),
    ]
    for index, entry in enumerate(comparison["systems"]):
        name = _escape(entry["name"])
        cells = [f"**{name}** (candidate)" if entry["candidate"] else name]
        lines.append(_row([*cells, *(_markdown_cell(c.cells[index]) for c in shown)]))
    lines += ["", legend(comparison, "**bold**"), ""]
    lines += [f"- {_escape(line)}" for line in (*seed_lines(comparison), *remarks(comparison))]
    for small in small_tables(comparison):
        lines += ["", *_markdown_small(small)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_small(small: SmallTable) -> list[str]:
    return [
        f"**{_escape(small.title)}**",
        "",
        _row([_escape(column.title) for column in small.columns]),
        _row(["---"] * small.texts + ["---:"] * (len(small.columns) - small.texts)),
        *(_row(list(map(_markdown_cell, cells))) for cells in zip(*(c.cells for c in small.columns), strict=True)),
        "",
        *(f"- {_escape(sentence)}" for sentence in small.sentences),
    ]


def legend(comparison: Comparison, mark: str | None = None) -> str:
    """How to read the numbers; ``mark`` names how an adjusted difference is marked, None if the table has none."""
    rows, groups = comparison["rows"], comparison.get("groups")
    independent = f" in {groups} independent groups" if groups and groups != rows else ""
    what = "Scores are in percent" if comparison.get("only_labels") else "ROUGE is F1 in percent"
    scores = f"{rows} test rows{independent}. {what}, with bootstrap intervals."
    return " ".join([scores, *(marks(comparison, mark) if mark else ())])


def marks(comparison: Comparison, mark: str) -> list[str]:
    """Sentences about the marked differences and the verdicts.

    There are none if no difference was computed, and for comparisons of an earlier version, which were not adjusted.
    """
    count, metric = comparison.get("adjusted_for"), comparison["metric"]
    if not count:
        return []
    margin = VerdictParams(**comparison["verdicts"]).margin_of(metric)
    verdicts = [outcome(entry, metric).value for entry in comparison["systems"]]
    unadjusted = any(verdict.endswith("unadjusted") for verdict in verdicts)
    return [
        f"The primary metric is {label(metric)}; the others are secondary.",
        f"A difference in {mark} excludes zero at {100 * comparison['confidence']:g}% confidence, adjusted for the "
        f"{count} differences of this report.",
        *(["Unadjusted: only without that adjustment."] if unadjusted else []),
        *([f"Same: within {number(margin, scale(metric))} points."] if "same" in verdicts else []),
    ]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in "\\|*<" else c for c in text)
    return " ".join(escaped.split())


def _markdown_cell(cell: Cell) -> str:
    return f"**{cell.value}** {cell.interval}".rstrip() if cell.sign else str(cell).replace("|", "\\|")


def rich_table(comparison: Comparison, width: int = WIDTH) -> Table:
    """A table of at most ``width`` characters; less important columns are left out before any cell wraps."""
    names = [("★ " if entry["candidate"] else "") + entry["name"] for entry in comparison["systems"]]
    every = [*columns(comparison), *difference_columns(comparison)]
    shown = fitting(names, every, width)
    hidden = [c.title for c in every if c.title not in {column.title for column in shown}]
    table = Table(caption=_caption(comparison, hidden), caption_justify="left")
    table.add_column("experiment", overflow="fold", vertical="bottom")
    for column in shown:
        justify: Literal["left", "right"] = "left" if column.title == "method" else "right"
        table.add_column(Text("\n".join(_title(column))), justify=justify, vertical="bottom", no_wrap=True)
    for index, name in enumerate(names):
        style = "bold" if comparison["systems"][index]["candidate"] else ""
        cells = [Text(str(c.cells[index]), style=_STYLES[c.cells[index].sign]) for c in shown]
        table.add_row(Text(name, style=style), *cells)
    return table


def rich_small_tables(comparison: Comparison, width: int = WIDTH) -> list[Table]:
    """The small tables of sets and tasks, each fitted to ``width`` as ``rich_table`` is."""
    return [_rich_small(small, width) for small in small_tables(comparison)]


def _rich_small(small: SmallTable, width: int) -> Table:
    first, *others = small.columns
    shown = [first, *fitting([str(cell) for cell in first.cells], others, width)]
    caption = Text("\n".join(small.sentences), style="not italic")
    table = Table(title=Text(small.title), title_justify="left", caption=caption, caption_justify="left")
    texts = {column.title for column in small.columns[: small.texts]}
    for column in shown:
        justify: Literal["left", "right"] = "left" if column.title in texts else "right"
        table.add_column(Text("\n".join(_title(column))), justify=justify, vertical="bottom", overflow="fold")
    for cells in zip(*(column.cells for column in shown), strict=True):
        table.add_row(*(Text(str(cell), style=_STYLES[cell.sign]) for cell in cells))
    return table


def fitting(names: list[str], every: list[Column], width: int) -> list[Column]:
    """The columns that fit beside ``names`` into ``width`` characters.

    First intervals are left out, from the least important column upwards; then whole columns.
    """
    shown = list(every)
    by_importance = sorted(range(len(every)), key=lambda index: (every[index].importance, -index))
    for index in by_importance:
        if _width(names, shown) > width and every[index].importance < KEEPS_INTERVAL:
            shown[index] = shown[index].bare()
    while len(shown) > 1 and _width(names, shown) > width:
        shown.remove(min(reversed(shown), key=lambda column: column.importance))
    return shown


def _title(column: Column) -> list[str]:
    return textwrap.wrap(column.title, 12, break_long_words=False, break_on_hyphens=False)


def _width(names: list[str], shown: list[Column]) -> int:
    widths = [max(map(cell_len, ["experiment", *names]))]
    widths += [max(cell_len(text) for text in (*_title(c), *map(str, c.cells))) for c in shown]
    return sum(widths) + 3 * len(widths) + 1  # one rule and two spaces per column, and the last rule


def _caption(comparison: Comparison, hidden: list[str]) -> Text:
    lines = [legend(comparison, "colour")]
    if hidden:
        lines.append(f"Not shown for lack of width: {', '.join(hidden)}")
    return Text("\n".join([*lines, *seed_lines(comparison), *remarks(comparison)]), style="not italic")
