"""What makes a wording useless or worse: a completion that its prompt tells, a column that it never asks about."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from tasks.core.errors import TunesmithError
from tasks.core.files import digest
from tasks.template.library import Template, TemplateSet
from tasks.text.rows import Row
from tasks.text.words import normalise

SHORT_WORDS, SHORT_CHARACTERS = 3, 24
"""A completion with fewer of both stands in a text by coincidence (a number, a name)."""

CHOICE_SHARE, CHOICE_ROWS = 0.9, 10
"""A wording tells the right answer choice where more than this share of at least so many rows names it alone."""

_WORD = re.compile(r"[^\W_]")


@dataclass
class Report:
    """Counts of a rendering: rows in, rows out, dropped by reason with the first place of each.

    Attributes:
        tried: wordings that rendered something, by template id; ``leaking`` those of them whose prompt tells the
            completion, ``leaked`` the first place of each.
        named: template id → answer choice → rows whose prompt names this choice alone, and it is the right one;
            ``named_first`` the first place of each template.
    """

    rows: int = 0
    rendered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    leaking: dict[str, int] = field(default_factory=dict)
    leaked: dict[str, str] = field(default_factory=dict)
    named: dict[str, Counter[str]] = field(default_factory=dict)
    named_first: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, place: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.first.setdefault(reason, place)

    def leak(self, template: str, leaks: bool, place: str) -> None:
        self.tried[template] = self.tried.get(template, 0) + 1
        if leaks:
            self.leaking[template] = self.leaking.get(template, 0) + 1
            self.leaked.setdefault(template, place)

    def name_choice(self, template: str, choice: str, place: str) -> None:
        self.named.setdefault(template, Counter())[choice] += 1
        self.named_first.setdefault(template, place)


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


def names_only(prompt: str, right: str, choices: list[str]) -> bool:
    """Whether ``prompt`` has the words of the choice ``right`` and those of no other of ``choices``.

    Longer choices are looked for first, and taken out: "not supported" does not name the choice "supported".
    """
    told, found = f" {normalise(prompt)} ", set()
    for words in sorted({normalise(choice) for choice in choices}, key=len, reverse=True):
        if words and (f" {words} " in told or (words in prompt and not _WORD.search(words))):
            found.add(words)
            while f" {words} " in told:
                told = told.replace(f" {words} ", " \n ")
    return normalise(right) in found and not any(normalise(c) in found for c in choices if c != right)


def is_short(text: str) -> bool:
    return len(text.split()) < SHORT_WORDS and len(text) < SHORT_CHARACTERS


def leaking_templates(report: Report) -> list[str]:
    """Wordings whose prompt tells the completion in more than half of their rows, or the right answer choice in more
    than ``CHOICE_SHARE`` of them: no coincidence."""
    told = [t for t, count in report.leaking.items() if 2 * count > report.tried[t]]
    return told + [t for t in report.named if t not in told and _tells_choice(report, t)]


def suspected_templates(report: Report) -> list[str]:
    """Wordings that name the right answer choice alone in more than half of their rows, and are not yet leaking."""
    leaking = leaking_templates(report)
    return [t for t, c in report.named.items() if 2 * c.total() > report.tried[t] and t not in leaking]


def _tells_choice(report: Report, template: str) -> bool:
    named, rows = report.named.get(template, Counter()), report.tried[template]
    # "Is this spam?" names one choice whatever the answer is: among rows that are nearly all spam it tells nothing.
    return rows >= CHOICE_ROWS and len(named) > 1 and named.total() > CHOICE_SHARE * rows


def refuse_leaks(source: str, report: Report) -> None:
    """Stop at wordings that tell their completions.

    Raises:
        TunesmithError: naming each of them, with the first row.
    """
    if found := leaking_templates(report):
        raise TunesmithError("\n".join(describe_leak(source, template, report) for template in found))


def describe_leak(source: str, template: str, report: Report) -> str:
    where = f"params/sources.yaml: sources.{source}.template"
    remedy = "correct the template, or mark it `extractive: true` if answers are meant to stand in the prompt"
    if _tells_choice(report, template):
        return (
            f"{where}: a prompt must not tell which answer choice is right; template {template!r} names it and no "
            f"other choice in {_named(template, report)}; {remedy}, or let the prompt list all choices"
        )
    return (
        f"{where}: a prompt must not tell its completion; template {template!r} does in {report.leaking[template]} of "
        f"{report.tried[template]} rows, the first at {report.leaked[template]}; {remedy}"
    )


def describe_suspicion(template: str, report: Report) -> str:
    return (
        f"template {template!r} names the right answer choice and no other in {_named(template, report)}; see whether "
        "its prompt tells the answer"
    )


def _named(template: str, report: Report) -> str:
    rows, first = report.named[template].total(), report.named_first[template]
    return f"{rows} of {report.tried[template]} rows, the first at {first}"


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
