"""What an import finds: wordings that can be used, and those that cannot with the reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.template.environment import ENVIRONMENT, jinja_problem


@dataclass
class Wording:
    """One template on its way into a set.

    Attributes:
        told: columns that the prompt uses, in the order in which they come; None where prompt and completion
            cannot be told apart before a row is rendered.
        fields: of ``tasks.template.library.Template``.
    """

    name: str
    used: set[str]
    told: list[str] | None
    fields: dict[str, Any]

    @property
    def inverted(self) -> bool:
        return bool(self.fields.get("inverted"))


@dataclass
class Found:
    """What one file holds for one data set."""

    file: Path
    name: str
    description: str
    license: str
    wordings: list[Wording] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.wordings) + len(self.refused)


def compile_problem(*texts: str | None) -> str | None:
    """Why the first of ``texts`` that is no Jinja2 is none, in one line."""
    for text in texts:
        try:
            ENVIRONMENT.from_string(text or "")
        except Exception as error:  # too deep a nesting, for one, is no TemplateSyntaxError
            return jinja_problem(error)
    return None


def in_order(text: str, names: set[str]) -> list[str]:
    """``names`` in the order of their first place in ``text``."""
    return sorted(names, key=lambda name: (text.find(name), name))


def main_columns(wordings: list[Wording]) -> tuple[str, list[str]]:
    """The column that most prompts of the original task use, and those that at least half of them use.

    Wordings that invert the task, and those whose prompt cannot be told apart, count only where there are no others.
    """
    told = [w.told for w in wordings if w.told and not w.inverted]
    told = told or [w.told for w in wordings if w.told] or [sorted(w.used) for w in wordings]
    counts = Counter(name for names in told for name in names)  # in the order of first use, which decides ties
    main = max(counts, key=lambda name: counts[name])
    return main, [name for name in counts if name == main or 2 * counts[name] >= len(told)]
