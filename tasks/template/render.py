"""Render rows as instructions: ``prompt``, ``completion``, ``references``. They are text, not yet tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Undefined

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.files import digest, unit_interval
from tasks.template.environment import CHOICE_KEY, ENVIRONMENT, PRIVATE_SEPARATOR, SEPARATOR, copied, plain, rendering
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.validate import Report, is_short, leaked_reference, names_only, normalised, unused_columns
from tasks.text.rows import Row, without_nan

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Compiled:
    """A template ready to render; its functions take the columns of a row.

    A template may append to a list, so each function renders a copy: imported templates build their lists anew.

    Attributes:
        needs: the optional columns that it uses.
        text_columns: for an inverted template, the columns of its prompt; else empty.
    """

    template: Template
    task: str
    needs: frozenset[str]
    text_columns: tuple[str, ...]
    prompt: Callable[[Row], str]
    references: Callable[[Row], Any]
    choices: Callable[[Row], list[str] | None]


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
    text_of = _text(templates)
    for row in rows:
        report.rows += 1
        location = f"{row['source_file']}:{row['source_line']}"
        values = columns_of(row, templates, params, location)
        text = text_of(values, location)
        assigned = assign(chosen, row["row_id"], values, params)
        if not assigned:
            report.drop("no template for the columns that it has", location)
        for compiled in assigned:
            rendered = render_one(compiled, values, [params.seed, row["row_id"]], location)
            problem = _problem(rendered, templates, text) or _leak(rendered, compiled.template, report, location)
            if problem:
                report.drop(problem, f"{location} (template {compiled.template.id!r})")
                continue
            report.rendered += 1
            yield {
                **{key: row[key] for key in ("row_id", "source_file", "source_line")},
                **rendered,
                "source": source,
                "task": compiled.task,
                **_main_text(compiled, templates, values, text),
                "group": _group(row, [plain(values[name]) for name in inputs], params, location),
                "time": _time(row, params, location),
                "identity": "\n".join(plain(values[name]) for name in identity) if identity else text,
            }


def choose(templates: TemplateSet, params: TemplateParams, source: str) -> list[Template]:
    """The templates that ``params.use`` names, or all of the set.

    Raises:
        TunesmithError: ``use`` names an unknown template, ``columns`` or ``values`` an unknown column, both name the
            same column, or a chosen template does not use a required column.
    """
    where = f"params/sources.yaml: sources.{source}.template"
    for key in ("columns", "values"):
        if stray := [name for name in getattr(params, key) if name not in templates.columns]:
            raise TunesmithError(
                f"{where}.{key}: no column {stray[0]!r} in set {templates.name!r}; "
                f"there are: {', '.join(templates.columns)}"
            )
    if both := sorted(params.columns.keys() & params.values.keys()):
        raise TunesmithError(f"{where}: {both[0]!r} is in `columns` and in `values`; remove one of them")
    known = {template.id: template for template in templates.templates}
    unknown = [i for i in params.use or [] if i not in known]
    if unknown:
        raise TunesmithError(
            f"{where}.use: no template {unknown[0]!r} in set {templates.name!r}; there are: {', '.join(known)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    chosen = [known[i] for i in params.use or known]
    if unused := unused_columns(templates, chosen):
        raise TunesmithError(
            f"{where}: template {unused[0][0]!r} of set {templates.name!r} never uses the column {unused[0][1]!r}, "
            "which the set requires; use it there, leave the template out with `use`, or correct `required` of the set"
        )
    return chosen


def compile_chosen(templates: TemplateSet, params: TemplateParams, source: str) -> list[Compiled]:
    """The templates of ``choose``, ready to render."""
    return [_compile(template, templates, params) for template in choose(templates, params, source)]


def _compile(template: Template, templates: TemplateSet, params: TemplateParams) -> Compiled:
    if template.references is None:
        references: Callable[..., Any] = rendering(template.completion or "")
    else:
        expression = ENVIRONMENT.compile_expression(template.references, undefined_to_none=False)
        references = lambda values: expression(copied(values))
    prompt_columns = template.prompt_columns() - params.values.keys()
    return Compiled(
        template,
        templates.task_of(template),
        frozenset(template.columns()) & frozenset(templates.optional),
        tuple(name for name in templates.columns if name in prompt_columns) if template.inverted else (),
        rendering(template.prompt),
        references,
        _choices(template.answer_choices),
    )


def _choices(given: list[str] | str | None) -> Callable[[Row], list[str] | None]:
    return split_choices(given) if isinstance(given, str) else lambda values: given


def split_choices(text: str) -> Callable[[Row], list[str]]:
    """A function that renders the answer choices of a row; a separator in the row's values separates nothing."""
    template = ENVIRONMENT.from_string(text.replace(SEPARATOR, PRIVATE_SEPARATOR))
    return lambda values: [part.strip() for part in template.render(copied(values)).split(PRIVATE_SEPARATOR)]


def columns_of(row: Row, templates: TemplateSet, params: TemplateParams, location: str) -> Row:
    """The columns of the set with the values of ``row``.

    Null, NaN and a text of blanks only are no value: "" in a column, None in an optional one.
    """
    values: Row = {}
    for name in templates.columns:
        if name in params.values:
            values[name] = params.values[name]
            continue
        column = params.columns.get(name, name)
        optional = name in templates.optional
        if column not in row and not (optional and name not in params.columns):
            raise TunesmithError(
                f"{location}: column {column!r} is missing; the row has {', '.join(sorted(row))}; "
                f"name the right one in `template.columns.{name}` of params/sources.yaml"
            )
        value = without_nan(row.get(column))
        if optional:
            values[name] = None if not plain(value).strip() else value
        else:
            values[name] = "" if value is None or (isinstance(value, str) and not value.strip()) else value
    return values


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


def render_one(compiled: Compiled, values: Row, choice_key: list[Any], location: str) -> Row:
    """The text columns of one row, rendered with one template."""
    template = compiled.template
    context = {**values, CHOICE_KEY: choice_key, "answer_choices": None}
    try:
        context["answer_choices"] = choices = compiled.choices(context)
        prompt = compiled.prompt(context)
        references = _texts(compiled.references(context), choices)
    except Exception as error:  # a template is the user's code
        raise TunesmithError(
            f"{location}: template {template.id!r} fails on this row: {error}; correct the row or the template"
        ) from None
    return {
        "template_id": template.id,
        "template": template.prompt,
        "prompt": prompt,
        "completion": references[0] if references else "",
        "references": references,
        "answer_choices": choices,
    }


def _texts(value: Any, choices: list[str] | None) -> list[str]:
    """The texts of a text, a list, or another iterable, such as the result of Jinja2's ``map``, without blank ones.

    White space stays: it is part of code, lists and patches. A text that is one of ``choices`` but for white space is
    that choice.
    """
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    texts = []
    for item in value if several else [value]:
        if item is not None and not isinstance(item, str | int | float | Undefined):
            raise TypeError(f"`references` must give a text or a list of texts; it gave a {type(item).__name__}")
        text = "" if item is None else str(item)
        texts.append(text.strip() if text.strip() in (choices or ()) and text not in (choices or ()) else text)
    return [text for text in texts if text.strip()]


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
