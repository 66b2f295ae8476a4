"""The work of ``tunesmith templates validate``: find errors of a source's templates before training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from flows.commands.template_text import base_renderer
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.template.library import library_of, load_set
from tasks.template.params import TemplateParams
from tasks.template.render import render
from tasks.template.run import refuse_dropped
from tasks.template.source_rows import known_sources, raw_rows, template_params
from tasks.template.validate import (
    Duplicates,
    Report,
    describe_leak,
    describe_suspicion,
    leaking_templates,
    suspected_templates,
)
from tasks.text.rows import Row


@dataclass(frozen=True)
class Finding:
    """A finding: an ``error`` stops the stage, a ``note`` does not."""

    source: str
    weight: Literal["error", "note"]
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.weight}: {self.kind}: {self.message}"


def validate(paths: Paths, sources: list[str]) -> Iterator[Finding]:
    """Render every row of ``sources`` (all of params/sources.yaml when empty) and yield what is wrong.

    Kinds: ``leak``, ``dropped`` (empty rows, or completions that are no answer choice), ``template`` (an unused column,
    a template that fails), ``duplicate`` (two rendered rows that read the same), ``conversation`` (an unusual order of
    roles, messages that are cut off), ``context`` (a prompt that alone is longer than ``max_length``; needs the base
    model's tokenizer).
    """
    count, limit, notes = _counter(paths)
    for source in sources or known_sources(paths):
        yield from (Finding(source, "note", "context", note) for note in notes)
        yield from examine(source, template_params(paths, source), raw_rows(paths, source), paths, count, limit)


def _counter(paths: Paths) -> tuple[Callable[[Row], int] | None, int, list[str]]:
    try:
        renderer, limit = base_renderer(paths)
    except TunesmithError as error:
        return None, 0, [f"prompts are not compared with the context: {error}"]
    return lambda row: len(renderer.prompt_row(row)), limit, []


def examine(
    source: str,
    params: TemplateParams,
    rows: Iterable[Row],
    paths: Paths,
    count: Callable[[Row], int] | None,
    limit: int,
) -> Iterator[Finding]:
    """As ``validate``, for one source. ``count`` gives the tokens of a row's prompt, of which ``limit`` fit."""
    report, duplicates, long = Report(), Duplicates(), 0
    longest = (0, "")
    try:
        for row in render(rows, source, load_set(params.set, library_of(paths.root)), params, report):
            duplicates.add(row)
            tokens = count(row) if count else 0
            if tokens > limit:
                long += 1
                longest = max(longest, (tokens, f"{row['source_file']}:{row['source_line']} ({row['template_id']})"))
    except TunesmithError as error:
        yield from (Finding(source, "error", "template", line) for line in str(error).splitlines())
        return
    for template in leaking_templates(report):
        yield Finding(source, "error", "leak", describe_leak(source, template, report))
    for template in suspected_templates(report):
        yield Finding(source, "note", "leak", describe_suspicion(template, report))
    yield from _dropped(source, params, report)
    yield from (Finding(source, "note", "conversation", line) for line in report.oddities())
    if duplicates.first:
        one, other = duplicates.first
        yield Finding(
            source,
            "note",
            "duplicate",
            f"{duplicates.count} {'row reads' if duplicates.count == 1 else 'rows read'} as an earlier one, "
            f"first {one} as {other}",
        )
    if long:
        yield Finding(
            source,
            "error",
            "context",
            f"{long} of {report.rendered} prompts alone exceed max_length ({limit} tokens, params/training.yaml), the "
            f"longest with {longest[0]} at {longest[1]}; shorten them or raise it",
        )


def _dropped(source: str, params: TemplateParams, report: Report) -> Iterator[Finding]:
    try:
        refuse_dropped(source, params, report)
    except TunesmithError as error:
        yield Finding(source, "error", "dropped", str(error))
        return
    for reason, number in report.dropped.items():
        yield Finding(source, "note", "dropped", f"{number} with {reason}, the first at {report.first[reason]}")
