"""Templates parsed from a file: those that can be imported, and those that cannot, with the reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.template.environment import ENVIRONMENT, jinja_problem


@dataclass
class ParsedTemplate:
    """One template that can be imported.

    Attributes:
        columns: names of all columns that it uses.
        prompt_columns: columns that the prompt uses, in the order in which they come; None if prompt and completion
            cannot be separated before a row is rendered.
        fields: values of the fields of ``tasks.template.library.Template``.
    """

    name: str
    columns: set[str]
    prompt_columns: list[str] | None
    fields: dict[str, Any]

    @property
    def inverted(self) -> bool:
        return bool(self.fields.get("inverted"))


@dataclass
class ParsedSet:
    """The templates of one file for one data set.

    Attributes:
        refused: (name, reason) of each template that cannot be imported.
    """

    file: Path
    name: str
    description: str
    license: str
    templates: list[ParsedTemplate] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.templates) + len(self.refused)


def compile_problem(*texts: str | None) -> str | None:
    """The problem of the first of ``texts`` that is not valid Jinja2, in one line; None if all are valid."""
    for text in texts:
        try:
            ENVIRONMENT.from_string(text or "")
        except Exception as error:  # such as too deep nesting, which raises no TemplateSyntaxError
            return jinja_problem(error)
    return None


def in_order(text: str, names: set[str]) -> list[str]:
    """``names`` in the order in which they first come in ``text``."""
    return sorted(names, key=lambda name: (text.find(name), name))


def main_columns(templates: list[ParsedTemplate]) -> tuple[str, list[str]]:
    """The column that most prompts of the original task use, and the columns that at least half of them use.

    Templates that invert the task, and templates without ``prompt_columns``, count only if there are no others.
    """
    used = [t.prompt_columns for t in templates if t.prompt_columns and not t.inverted]
    used = used or [t.prompt_columns for t in templates if t.prompt_columns] or [sorted(t.columns) for t in templates]
    counts = Counter(name for names in used for name in names)  # in the order of first use, which decides ties
    main = max(counts, key=lambda name: counts[name])
    return main, [name for name in counts if name == main or 2 * counts[name] >= len(used)]
