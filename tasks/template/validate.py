"""Checks of templates: prompts that contain their completion, prompts without a required column, duplicates."""

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
"""A completion below both limits (a number, a name) may occur in a text by coincidence."""

CHOICE_SHARE, CHOICE_ROWS = 0.9, 10
"""A template of ``CHOICE_ROWS`` rows or more leaks if more than ``CHOICE_SHARE`` of them name only the right choice."""

_WORD = re.compile(r"[^\W_]")


@dataclass
class Report:
    """Counts of a rendering.

    Attributes:
        rows, rendered: rows read, and rows rendered (one per template).
        dropped, first: reason → number of rows dropped for it, and location of the first.
        odd, odd_first: what is unusual in a conversation → number of rows, and location of the first.
        tried: template id → rows rendered with it.
        leaking, leaked: template id → rows whose prompt contains the completion, and location of the first.
        named, named_first: template id → answer choice → rows whose prompt names this choice alone, and rightly;
            template id → location of the first such row.
    """

    rows: int = 0
    rendered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    odd: dict[str, int] = field(default_factory=dict)
    odd_first: dict[str, str] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    leaking: dict[str, int] = field(default_factory=dict)
    leaked: dict[str, str] = field(default_factory=dict)
    named: dict[str, Counter[str]] = field(default_factory=dict)
    named_first: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, location: str) -> None:
        """Count a dropped row."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.first.setdefault(reason, location)

    def note(self, oddity: str, location: str) -> None:
        """Count a conversation with something unusual."""
        self.odd[oddity] = self.odd.get(oddity, 0) + 1
        self.odd_first.setdefault(oddity, location)

    def oddities(self) -> list[str]:
        """One line per oddity: number of rows, and the first of them."""
        return [f"{count} with {odd}, the first at {self.odd_first[odd]}" for odd, count in self.odd.items()]

    def leak(self, template: str, leaks: bool, location: str) -> None:
        """Count a row rendered with ``template``, and whether its prompt contains the completion."""
        self.tried[template] = self.tried.get(template, 0) + 1
        if leaks:
            self.leaking[template] = self.leaking.get(template, 0) + 1
            self.leaked.setdefault(template, location)

    def name_choice(self, template: str, choice: str, location: str) -> None:
        """Count a row whose prompt names, of all choices, only ``choice``, the correct one."""
        self.named.setdefault(template, Counter())[choice] += 1
        self.named_first.setdefault(template, location)


def normalised(text: str) -> str:
    """``text`` in lower case with single spaces."""
    return " ".join(text.lower().split())


def leaked_reference(prompt: str, references: list[str]) -> str | None:
    """The longest of ``references`` whose words occur in ``prompt``, regardless of case, spaces and punctuation.

    A reference without any word (a sign, an emoji) counts if it occurs in the prompt unchanged.
    """
    words = f" {normalise(prompt)} "
    leaked = [
        text
        for text in references
        if f" {normalise(text)} " in words or (text.strip() in prompt and not _WORD.search(text))
    ]
    return max(leaked, key=lambda text: (not is_short(text), len(text)), default=None)


def names_only(prompt: str, right: str, choices: list[str]) -> bool:
    """Whether ``prompt`` has the words of the choice ``right``, and of no other of ``choices``.

    Longer choices are matched first and removed: "not supported" does not name the choice "supported".
    """
    text, named = f" {normalise(prompt)} ", set()
    for words in sorted({normalise(choice) for choice in choices}, key=len, reverse=True):
        if words and (f" {words} " in text or (words in prompt and not _WORD.search(words))):
            named.add(words)
            while f" {words} " in text:
                text = text.replace(f" {words} ", " \n ")
    return normalise(right) in named and not any(normalise(c) in named for c in choices if c != right)


def is_short(text: str) -> bool:
    """Whether ``text`` may occur in another text by coincidence."""
    return len(text.split()) < SHORT_WORDS and len(text) < SHORT_CHARACTERS


def leaking_templates(report: Report) -> list[str]:
    """Templates whose prompts contain the completion too often for a coincidence.

    That is in more than half of the rows or, for the right answer choice, in more than ``CHOICE_SHARE`` of them.
    """
    leaking = [t for t, count in report.leaking.items() if 2 * count > report.tried[t]]
    return leaking + [t for t in report.named if t not in leaking and _leaks_choice(report, t)]


def suspected_templates(report: Report) -> list[str]:
    """Templates that name the right answer choice alone in more than half of their rows, without the leaking ones."""
    leaking = leaking_templates(report)
    return [t for t, c in report.named.items() if 2 * c.total() > report.tried[t] and t not in leaking]


def _leaks_choice(report: Report, template: str) -> bool:
    named, rows = report.named.get(template, Counter()), report.tried[template]
    # "Is this spam?" always names one choice: if nearly all rows are spam, that is not a leak.
    return rows >= CHOICE_ROWS and len(named) > 1 and named.total() > CHOICE_SHARE * rows


def refuse_leaks(source: str, report: Report) -> None:
    """Refuse templates that leak their completions.

    Raises:
        TunesmithError: templates leak; one line for each, with its first row.
    """
    if leaking := leaking_templates(report):
        raise TunesmithError("\n".join(describe_leak(source, template, report) for template in leaking))


def describe_leak(source: str, template: str, report: Report) -> str:
    where = f"params/sources.yaml: sources.{source}.template"
    remedy = "correct the template, or mark it `extractive: true` if the prompt is meant to contain the answer"
    if _leaks_choice(report, template):
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
    """(template id, column) for each required column of the set that a chosen template does not use."""
    required = templates.required_columns()
    return [(t.id, name) for t in chosen for name in required if name not in t.columns()]


class Duplicates:
    """Counts rows with the prompt and completion of an earlier row, also if another template rendered it."""

    def __init__(self) -> None:
        self.count = 0
        self.first: tuple[str, str] | None = None
        self._seen: dict[bytes, str] = {}

    def add(self, row: Row) -> None:
        location = f"{row['source_file']}:{row['source_line']} ({row['template_id']})"
        key = bytes.fromhex(digest([normalised(row["prompt"]), normalised(row["completion"])])[:24])
        if key in self._seen:
            self.count += 1
            self.first = self.first or (location, self._seen[key])
        else:
            self._seen[key] = location
