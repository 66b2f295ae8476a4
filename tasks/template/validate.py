"""What makes a wording useless or worse: a completion that its prompt tells, a column that it never asks about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tasks.errors import TunesmithError
from tasks.files import digest
from tasks.rows import Row
from tasks.template.library import Template, TemplateSet
from tasks.words import normalise

SHORT_WORDS, SHORT_CHARACTERS = 3, 24
"""A completion with fewer of both stands in a text by coincidence (a number, a name)."""


_WORD = re.compile(r"[^\W_]")


@dataclass
class Report:
    """Counts of a rendering: rows in, rows out, dropped by reason with the first place of each.

    Attributes:
        tried: wordings that rendered something, by template id; ``leaking`` those of them whose prompt tells the
            completion, ``leaked`` the first place of each.
    """

    rows: int = 0
    rendered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    leaking: dict[str, int] = field(default_factory=dict)
    leaked: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, place: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.first.setdefault(reason, place)

    def leak(self, template: str, leaks: bool, place: str) -> None:
        self.tried[template] = self.tried.get(template, 0) + 1
        if leaks:
            self.leaking[template] = self.leaking.get(template, 0) + 1
            self.leaked.setdefault(template, place)


def normalised(text: str) -> str:
    """``text`` in lower case with single spaces."""
    return " ".join(text.lower().split())


def leaked_reference(prompt: str, references: list[str]) -> str | None:
    """The longest of ``references`` whose words stand in ``prompt``, whatever their case, spaces and punctuation.

    One without any word (a sign, an emoji) counts where it stands in the prompt as it is.
    """
    told = f" {normalise(prompt)} "
    found = [
        text for text in references if f" {normalise(text)} " in told or (text in prompt and not _WORD.search(text))
    ]
    return max(found, key=lambda text: (not is_short(text), len(text)), default=None)


def is_short(text: str) -> bool:
    return len(text.split()) < SHORT_WORDS and len(text) < SHORT_CHARACTERS


def leaking_templates(report: Report) -> list[str]:
    """Wordings whose prompt tells the completion in more than half of their rows: no coincidence."""
    return [t for t, count in report.leaking.items() if 2 * count > report.tried[t]]


def refuse_leaks(source: str, report: Report) -> None:
    """Stop at wordings that tell their completions.

    Raises:
        TunesmithError: naming each of them, with the first row.
    """
    if found := leaking_templates(report):
        raise TunesmithError("\n".join(describe_leak(source, template, report) for template in found))


def describe_leak(source: str, template: str, report: Report) -> str:
    return (
        f"params/sources.yaml: sources.{source}.template: a prompt must not tell its completion; template {template!r} "
        f"does in {report.leaking[template]} of {report.tried[template]} rows, the first at {report.leaked[template]}; "
        "correct the template, or mark it `extractive: true` if answers are meant to stand in the prompt, or list "
        "`answer_choices`"
    )


def unused_columns(templates: TemplateSet, chosen: list[Template]) -> list[tuple[str, str]]:
    """(template id, column) for each required column of the set that a chosen wording never uses."""
    required = templates.required_columns()
    return [(t.id, name) for t in chosen for name in required if name not in t.columns()]


class Duplicates:
    """Counts rows whose prompt and completion an earlier row has, also if another wording made it."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[str, str] | None = None
        self._seen: dict[bytes, str] = {}

    def add(self, row: Row) -> None:
        place = f"{row['source_file']}:{row['source_line']} ({row['template_id']})"
        key = bytes.fromhex(digest([normalised(row["prompt"]), normalised(row["completion"])])[:24])
        if key in self._seen:
            self.count += 1
            self.first = self.first or (place, self._seen[key])
        else:
            self._seen[key] = place
