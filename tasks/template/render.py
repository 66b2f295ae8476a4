"""Render rows as instructions or conversations: ``prompt``, ``completion``, ``messages``. They are not yet tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import digest, unit_interval
from tasks.template.compiled import Compiled, columns_of, compile_chosen, messages_and_tools, render_one
from tasks.template.conversation import conversation
from tasks.template.environment import ENVIRONMENT, copied, plain
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.validate import Report, is_short, leaked_reference, names_only, normalised
from tasks.text.rows import Row

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def render(
    rows: Iterable[Row], source: str, templates: TemplateSet, params: TemplateParams, report: Report
) -> Iterator[Row]:
    """Yield the rendered rows of ``rows`` (columns: ``tasks.text.rows.RENDERED``) and count them in ``report``.

    A row whose prompt contains its completion is dropped and counted as ``leak``. A short completion (a number, a name)
    may occur in the prompt by coincidence; ``validate.refuse_leaks`` judges those by template at the end.

    Raises:
        TunesmithError: a column that the templates need is missing, a chosen template does not exist, or a template
            fails on a row.
    """
    chosen = compile_chosen(templates, params, source)
    inputs, identity = templates.inputs(), templates.identity
    text_of = _no_text if templates.conversational else _text(templates)
    for row in rows:
        report.rows += 1
        location = f"{row['source_file']}:{row['source_line']}"
        values = columns_of(row, templates, params, location)
        text = text_of(values, location)
        assigned = assign(chosen, row["row_id"], values, params)
        if not assigned:
            report.drop("no template for the columns that it has", location)
        for compiled in assigned:
            choice_key = [params.seed, row["row_id"]]
            if compiled.messages is not None:
                rendered, problem = _conversation(compiled, values, choice_key, params, report, location)
            else:
                rendered = render_one(compiled, values, choice_key, location)
                rendered |= {
                    **_main_text(compiled, templates, values, text),
                    "identity": "\n".join(plain(values[name]) for name in identity) if identity else text,
                }
                problem = _problem(rendered, templates, text)
            problem = problem or _leak(rendered, compiled.template, report, location)
            if problem:
                report.drop(problem, f"{location} (template {compiled.template.id!r})")
                continue
            report.rendered += 1
            grouping = [rendered["identity"]] if compiled.messages else [plain(values[name]) for name in inputs]
            yield {
                **{key: row[key] for key in ("row_id", "source_file", "source_line")},
                **rendered,
                "source": source,
                "task": compiled.task,
                "group": _group(row, grouping, params, location),
                "time": _time(row, params, location),
            }


def _text(templates: TemplateSet) -> Callable[[Row, str], str]:
    """A function for the main text of a row: the set's ``text``, else its first column, which must then be text."""
    name = next(iter(templates.columns))
    expression = ENVIRONMENT.compile_expression(templates.text, undefined_to_none=False) if templates.text else None

    def text(values: Row, location: str) -> str:
        if expression is not None:
            try:
                return str(expression(copied(values)))
            except Exception as error:
                raise TunesmithError(
                    f"{location}: `text` of set {templates.name!r} fails on this row: {error}"
                ) from None
        value = values[name]
        if not isinstance(value, str | int | float):  # else a prompt would show it in Python's notation
            raise TunesmithError(
                f"{location}: column {name!r} must be text; it is a {type(value).__name__}; "
                f"join it to one text first, or write a Jinja2 expression as `text` of the set {templates.name!r}"
            )
        return str(value)

    return text


def _no_text(values: Row, location: str) -> str:
    return ""


def _main_text(compiled: Compiled, templates: TemplateSet, values: Row, text: str) -> Row:
    """The main text of a row; for an inverted template the columns of its prompt, since its answer is the main text."""
    if not compiled.text_columns:
        return {"text_column": next(iter(templates.columns)), "text": text}
    return {
        "text_column": compiled.text_columns[0],
        "text": "\n".join(plain(values[name]) for name in compiled.text_columns),
    }


def assign(chosen: list[Compiled], row_id: str, values: Row, params: TemplateParams) -> list[Compiled]:
    """The templates for a row, out of those whose optional columns it has."""
    candidates = [c for c in chosen if not any(values[name] is None for name in c.needs)]
    if params.assign == "all" or not candidates:
        return candidates
    if params.assign == "one":
        return candidates[:1]
    # The template with the highest hash wins, so a new template changes only the rows that it wins.
    return [max(candidates, key=lambda c: unit_interval(params.seed, row_id, c.template.id))]


def _conversation(
    compiled: Compiled, values: Row, choice_key: list[Any], params: TemplateParams, report: Report, location: str
) -> tuple[Row, str | None]:
    """The columns of one conversation, and the reason to drop it; counts what is unusual in it."""
    rendered = conversation(*messages_and_tools(compiled, values, choice_key, location), params.learn, location)
    for oddity in rendered.oddities:
        report.note(oddity, location)
    template = compiled.template
    names = {"template_id": template.id, "template": template.text, "text_column": "messages", "answer_choices": None}
    return {**names, **rendered.columns}, rendered.problem


def _problem(rendered: Row, templates: TemplateSet, text: str) -> str | None:
    """The reason to drop a rendered row; None to keep it."""
    if not text.strip():
        return f"empty {next(iter(templates.columns))}"
    if not rendered["prompt"]:
        return "empty prompt"
    if not rendered["completion"]:
        return "empty completion"
    choices = rendered["answer_choices"]
    return (
        "a completion that is none of the answer choices" if choices and rendered["completion"] not in choices else None
    )


def _leak(rendered: Row, template: Template, report: Report, location: str) -> str | None:
    """Count whether the prompt contains the completion; return the reason to drop the row, if it is one."""
    prompt, choices = rendered["prompt"], rendered["answer_choices"]
    if choices and not template.extractive and names_only(prompt, rendered["completion"], choices):
        report.name_choice(template.id, rendered["completion"], location)
    leaked = None if template.extractive or choices else leaked_reference(prompt, rendered["references"])
    report.leak(template.id, leaked is not None, location)
    return "leak" if leaked is not None and not is_short(leaked) else None


def _time(row: Row, params: TemplateParams, location: str) -> float | None:
    """The value of ``template.time``: a number, or the seconds since 1970 of an ISO 8601 date or time.

    A time without a zone is UTC. Digits alone are a number, also as text: ``20240601`` must not be a date in one file
    and a number in another.
    """
    if params.time is None:
        return None
    value = row.get(params.time)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise TunesmithError(
            f"{location}: column {params.time!r} of `template.time` must be a number or an ISO 8601 date or time; "
            f"it is {value!r}; the row has {', '.join(sorted(row))}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _group(row: Row, inputs: list[str], params: TemplateParams, location: str) -> str:
    """The group of a row: its value of ``template.group``, else a hash of ``inputs``."""
    if params.group is not None and params.group not in row:
        raise TunesmithError(
            f"{location}: column {params.group!r} of `template.group` is missing; the row has {', '.join(sorted(row))}"
        )
    # An empty cell of a CSV is not a value, so rows with empty cells do not form a group.
    if params.group is not None and plain(row[params.group]).strip():
        return str(row[params.group])
    # A hash of the prompt would put the prompt variants of one row into several groups.
    return digest([normalised(text) for text in inputs])[:24]
