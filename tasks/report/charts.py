"""Charts of the report: matplotlib figures as inline SVG, each with its numbers as a table and as JSON."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, FAINT, LINE, GRID, PAPER = "#24292f", "#6b7580", "#d0d7de", "#eaeef2", "#ffffff"
"""Colours that the page replaces by its own, so that a chart is readable in dark mode too."""

ON_DARK, ON_LIGHT = "#fefefe", "#1b1f24"
"""Colours of text on the cells of a heat map, which are the same in dark mode."""

COLOURS = ("#3a76ad", "#d9822b", "#2f8f6b", "#8a5fbf", "#c0504d", "#9a9a2e", "#2aa5b8", "#8a6d3b", "#e07bb5", "#7f8790")
DASHES = ("-", "--", "-.", ":")

_VARIABLES = {INK: "var(--ink)", FAINT: "var(--soft)", LINE: "var(--line)", GRID: "var(--line)", PAPER: "var(--paper)"}

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: smaller, searchable, and in the page's font
    "svg.hashsalt": "tunesmith",  # equal charts give equal ids
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": FAINT,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes:
        name: short name, such as ``losses``: of the file with its numbers.
        title: what it shows, in a few words.
        alt: the same in a sentence, for a reader who cannot see it.
        svg: the picture.
        columns: titles of the table with its numbers.
        rows: the numbers, one list per row of the table; None is a missing value.
    """

    name: str
    title: str
    alt: str
    svg: Markup
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def json(self) -> str:
        """The numbers as a ``data:`` address of a JSON file: one mapping per row."""
        entries = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return f"data:application/json,{quote(json.dumps(entries, ensure_ascii=False))}"

    @property
    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [
            ["–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value) for value in row]
            for row in self.rows
        ]


def svg(name: str, draw: Callable[[Figure], None], width: float, height: float, alt: str) -> Markup:
    """Draw a figure of ``width`` by ``height`` inches, and return it as an ``svg`` element that ``alt`` describes.

    ``name`` makes its ids differ from those of other charts.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(written.getvalue(), name, alt)


def _inline(text: str, name: str, alt: str) -> Markup:
    """Reduce a file of matplotlib to its ``svg`` element, with the page's colours and without unused ids."""
    element = text[text.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|xlink:href=\"#)([^\")]+)", element))
    element = re.sub(r" id=\"([^\"]+)\"", lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", element)
    element = re.sub(r"(url\(#|xlink:href=\"#)", rf"\g<1>{name}-", element)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, variable)
    element = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", element)
    head = f'<svg role="img" aria-label="{escape(alt)}"'
    return Markup(re.sub(r"\s*\n\s*", "\n", element.replace("<svg", head, 1)))
