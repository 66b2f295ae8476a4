"""Sections of the page: an anchor for the table of contents, a title, the template, and what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.compare.cells import Comparison
from tasks.report.facts import Facts

Shown = dict[str, Any]
"""Values that a section's template reads as ``s``."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: its id, and the name of its template in ``page/``.
        shown: values of the template.
    """

    anchor: str
    title: str
    shown: Shown

    @property
    def template(self) -> str:
        return f"{self.anchor}.html.jinja"


@dataclass(frozen=True)
class Builder:
    """How a section is made: ``build`` returns None if the workspace has no data for it."""

    anchor: str
    title: str
    build: Callable[[Facts], Shown | None]

    def section(self, facts: Facts) -> Section | None:
        shown = self.build(facts)
        return Section(self.anchor, self.title, shown) if shown is not None else None


def of_rows(rows: Callable[[Comparison], list[Any]]) -> Callable[[Facts], Shown | None]:
    """The ``build`` of a section that shows nothing but ``rows`` of the comparison."""

    def build(facts: Facts) -> Shown | None:
        shown = rows(facts.comparison)
        return {"rows": shown} if shown else None

    return build
