"""Rows → instructions: ``prompt``, ``completion``, ``references``; still text, no tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jinja2 import Undefined

from tasks.errors import TunesmithError
from tasks.files import digest, unit_interval
from tasks.rows import Row
from tasks.template.library import ENVIRONMENT, Template, TemplateSet
from tasks.template.params import TemplateParams


@dataclass
class Report:
    """Counts of a rendering: rows in, rows out, dropped by reason with the first place of each."""

    rows: int = 0
    rendered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, place: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self.first.setdefault(reason, place)


@dataclass(frozen=True)
class _Compiled:
    template: Template
    prompt: Any
    references: Callable[..., Any]


def render(
    rows: Iterable[Row], source: str, templates: TemplateSet, params: TemplateParams, report: Report
) -> Iterator[Row]:
    """Yield the rendered rows of ``rows`` (columns: ``tasks.rows.RENDERED``) and count them in ``report``.

    Raises:
        TunesmithError: a column that the templates need is missing (those that exist are named),
            a chosen template does not exist, or a template fails on a row.
    """
    chosen = [_compile(template) for template in choose(templates, params, source)]
    inputs = templates.inputs()
    for row in rows:
        report.rows += 1
        place = f"{row['source_file']}:{row['source_line']}"
        values = _columns(row, templates, params, place)
        for compiled in _assigned(chosen, row, params):
            rendered = _render_one(compiled, values, place)
            problem = _problem(rendered, values)
            if problem:
                report.drop(problem, place)
                continue
            report.rendered += 1
            yield {
                **{key: row[key] for key in ("row_id", "source_file", "source_line")},
                **rendered,
                "source": source,
                "task": templates.task,
                "text_column": next(iter(values)),
                "text": str(next(iter(values.values()))),
                "group": _group(row, [str(values[name]) for name in inputs], params, place),
                "time": _time(row, params, place),
                "identity": "\n".join(str(values[name]) for name in templates.identified_by()),
            }


def choose(templates: TemplateSet, params: TemplateParams, source: str) -> list[Template]:
    """The templates that ``params.use`` names, or all.

    Raises:
        TunesmithError: ``use`` names no template of the set, or ``columns`` names no column of it.
    """
    where = f"params/sources.yaml: sources.{source}.template"
    stray = [name for name in params.columns if name not in templates.columns]
    if stray:
        raise TunesmithError(
            f"{where}.columns: no column {stray[0]!r} in set {templates.name!r}; "
            f"there are: {', '.join(templates.columns)}"
        )
    known = {template.id: template for template in templates.templates}
    unknown = [i for i in params.use or [] if i not in known]
    if unknown:
        raise TunesmithError(
            f"{where}.use: no template {unknown[0]!r} in set {templates.name!r}; there are: {', '.join(known)}"
        )
    return [known[i] for i in params.use or known]


def _compile(template: Template) -> _Compiled:
    expression = ENVIRONMENT.compile_expression(template.references, undefined_to_none=False)
    return _Compiled(template, ENVIRONMENT.from_string(template.prompt), expression)


def _columns(row: Row, templates: TemplateSet, params: TemplateParams, place: str) -> Row:
    values: Row = {}
    for wanted in templates.columns:
        column = params.columns.get(wanted, wanted)
        if column not in row:
            raise TunesmithError(
                f"{place}: column {column!r} is missing; the row has {', '.join(sorted(row))}; "
                f"name the right one in `template.columns.{wanted}` of params/sources.yaml"
            )
        value = "" if row[column] is None else row[column]
        if not values and not isinstance(value, str | int | float):  # a prompt would show Python's notation of it
            raise TunesmithError(
                f"{place}: column {column!r} must be text; it is a {type(value).__name__}; join it to one text first"
            )
        values[wanted] = value
    return values


def _assigned(chosen: list[_Compiled], row: Row, params: TemplateParams) -> list[_Compiled]:
    if params.assign == "all":
        return chosen
    # The highest of one hash a template wins, so a new template moves only the rows that it wins.
    return [max(chosen, key=lambda c: unit_interval(params.seed, row["row_id"], c.template.id))]


def _render_one(compiled: _Compiled, values: Row, place: str) -> Row:
    template = compiled.template
    context = {**values, "answer_choices": template.answer_choices}
    try:
        prompt = compiled.prompt.render(context)
        references = _texts(compiled.references(context))
    except Exception as error:  # a template is the user's code
        raise TunesmithError(
            f"{place}: template {template.id!r} fails on this row: {error}; correct the row or the template"
        ) from None
    return {
        "template_id": template.id,
        "template": template.prompt,
        "prompt": prompt,
        "completion": references[0] if references else "",
        "references": references,
        "answer_choices": template.answer_choices,
    }


def _texts(value: Any) -> list[str]:
    """One text, or several (a list, or what a Jinja2 filter such as ``map`` yields), without the empty ones."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    texts = []
    for item in value if several else [value]:
        if item is not None and not isinstance(item, str | int | float | Undefined):
            raise TypeError(f"`references` must give a text or a list of texts; it gave a {type(item).__name__}")
        texts.append("" if item is None else str(item).strip())
    return [text for text in texts if text]


def _problem(rendered: Row, values: Row) -> str | None:
    name, text = next(iter(values.items()))
    if not str(text).strip():
        return f"empty {name}"
    if not rendered["prompt"].strip():
        return "empty prompt"
    return None if rendered["completion"] else "empty completion"


def _time(row: Row, params: TemplateParams, place: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or time (UTC where it names no zone), or the number that it is."""
    if params.time is None:
        return None
    value = row.get(params.time)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise TunesmithError(
            f"{place}: column {params.time!r} of `template.time` must be a number or an ISO 8601 date or time; "
            f"it is {value!r}; the row has {', '.join(sorted(row))}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _group(row: Row, inputs: list[str], params: TemplateParams, place: str) -> str:
    if params.group is not None and params.group not in row:
        raise TunesmithError(
            f"{place}: column {params.group!r} of `template.group` is missing; the row has {', '.join(sorted(row))}"
        )
    if params.group is not None and row[params.group] is not None:
        return str(row[params.group])
    # Not of the prompt: a row that several wordings show would stand on several sides.
    return digest([" ".join(text.lower().split()) for text in inputs])[:24]
