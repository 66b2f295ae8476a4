"""Rows → instructions: ``prompt``, ``completion``, ``references``; still text, no tokens."""

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
from tasks.template.environment import CHOICE_KEY, ENVIRONMENT, PRIVATE_SEPARATOR, SEPARATOR, plain
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.validate import Report, is_short, leaked_reference, names_only, normalised, unused_columns
from tasks.text.rows import Row

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Compiled:
    """A wording ready to render. Each function takes the row's columns; ``needs`` are optional columns it uses."""

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

    A row whose prompt tells its completion is dropped and counted as ``leak``, unless that is short (a number, a
    name) and stands there by coincidence; ``validate.refuse_leaks`` judges the wordings at the end.

    Raises:
        TunesmithError: a column that the templates need is missing (those that exist are named),
            a chosen template does not exist, or a template fails on a row.
    """
    chosen = compile_chosen(templates, params, source)
    inputs, identity = templates.inputs(), templates.identity
    text_of = _text(templates)
    for row in rows:
        report.rows += 1
        place = f"{row['source_file']}:{row['source_line']}"
        values = columns_of(row, templates, params, place)
        text = text_of(values, place)
        assigned = assign(chosen, row["row_id"], values, params)
        if not assigned:
            report.drop("no template for the columns that it has", place)
        for compiled in assigned:
            rendered = render_one(compiled, values, [params.seed, row["row_id"]], place)
            problem = _problem(rendered, templates, text) or _leak(rendered, compiled.template, report, place)
            if problem:
                report.drop(problem, f"{place} (template {compiled.template.id!r})")
                continue
            report.rendered += 1
            yield {
                **{key: row[key] for key in ("row_id", "source_file", "source_line")},
                **rendered,
                "source": source,
                "task": compiled.task,
                "metrics": templates.metrics_of(compiled.template),
                **_main_text(compiled, templates, values, text),
                "group": _group(row, [plain(values[name]) for name in inputs], params, place),
                "time": _time(row, params, place),
                "identity": "\n".join(plain(values[name]) for name in identity) if identity else text,
            }


def choose(templates: TemplateSet, params: TemplateParams, source: str) -> list[Template]:
    """The templates that ``params.use`` names, or all.

    Raises:
        TunesmithError: ``use`` names no template of the set, ``columns`` or ``values`` no column of it (or both the
            same one), or a chosen template never uses a required column.
    """
    where = f"params/sources.yaml: sources.{source}.template"
    for key in ("columns", "values"):
        if stray := [name for name in getattr(params, key) if name not in templates.columns]:
            raise TunesmithError(
                f"{where}.{key}: no column {stray[0]!r} in set {templates.name!r}; "
                f"there are: {', '.join(templates.columns)}"
            )
    if both := sorted(params.columns.keys() & params.values.keys()):
        raise TunesmithError(f"{where}: {both[0]!r} stands in `columns` and in `values`; remove one of them")
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
    return [_compile(template, templates, params) for template in choose(templates, params, source)]


def _compile(template: Template, templates: TemplateSet, params: TemplateParams) -> Compiled:
    if template.references is None:
        references: Callable[..., Any] = ENVIRONMENT.from_string(template.completion or "").render
    else:
        references = ENVIRONMENT.compile_expression(template.references, undefined_to_none=False)
    prompt = ENVIRONMENT.from_string(template.prompt)
    told = template.prompt_columns() - params.values.keys()
    return Compiled(
        template,
        templates.task_of(template),
        frozenset(template.columns()) & frozenset(templates.optional),
        tuple(name for name in templates.columns if name in told) if template.inverted else (),
        lambda values: prompt.render(values).strip(),
        references,
        _choices(template.answer_choices),
    )


def _choices(given: list[str] | str | None) -> Callable[[Row], list[str] | None]:
    return split_choices(given) if isinstance(given, str) else lambda values: given


def split_choices(text: str) -> Callable[[Row], list[str]]:
    """What renders the answer choices of a row; a separator in the row's own columns separates nothing."""
    template = ENVIRONMENT.from_string(text.replace(SEPARATOR, PRIVATE_SEPARATOR))
    return lambda values: [part.strip() for part in template.render(values).split(PRIVATE_SEPARATOR)]


def columns_of(row: Row, templates: TemplateSet, params: TemplateParams, place: str) -> Row:
    """The set's columns of a row; "" for null, None for an optional column without a value."""
    values: Row = {}
    for wanted in templates.columns:
        if wanted in params.values:
            values[wanted] = params.values[wanted]
            continue
        column = params.columns.get(wanted, wanted)
        optional = wanted in templates.optional
        if column not in row and not (optional and wanted not in params.columns):
            raise TunesmithError(
                f"{place}: column {column!r} is missing; the row has {', '.join(sorted(row))}; "
                f"name the right one in `template.columns.{wanted}` of params/sources.yaml"
            )
        value = row.get(column)
        if optional:
            values[wanted] = None if value is None or not plain(value).strip() else value
        else:
            values[wanted] = "" if value is None else value
    return values


def _text(templates: TemplateSet) -> Callable[[Row, str], str]:
    """The main text of a row: what the set's ``text`` makes, or its first column, which must be a text then."""
    name = next(iter(templates.columns))
    expression = ENVIRONMENT.compile_expression(templates.text, undefined_to_none=False) if templates.text else None

    def text(values: Row, place: str) -> str:
        if expression is not None:
            try:
                return str(expression(copied(values)))
            except Exception as error:
                raise TunesmithError(f"{place}: `text` of set {templates.name!r} fails on this row: {error}") from None
        value = values[name]
        if not isinstance(value, str | int | float):  # a prompt would show Python's notation of it
            raise TunesmithError(
                f"{place}: column {name!r} must be text; it is a {type(value).__name__}; join it to one text first, or "
                f"say how with `text` of the set {templates.name!r}"
            )
        return str(value)

    return text


def _main_text(compiled: Compiled, templates: TemplateSet, values: Row, text: str) -> Row:
    """What the model is told: of an inverted wording, the columns of its prompt, since the main text is the answer."""
    if not compiled.text_columns:
        return {"text_column": next(iter(templates.columns)), "text": text}
    return {
        "text_column": compiled.text_columns[0],
        "text": "\n".join(plain(values[name]) for name in compiled.text_columns),
    }


def assign(chosen: list[Compiled], row_id: str, values: Row, params: TemplateParams) -> list[Compiled]:
    """The wordings that a row gets, of those whose optional columns it has."""
    candidates = [c for c in chosen if not any(values[name] is None for name in c.needs)]
    if params.assign == "all" or not candidates:
        return candidates
    if params.assign == "one":
        return candidates[:1]
    # The highest of one hash a template wins, so a new template moves only the rows that it wins.
    return [max(candidates, key=lambda c: unit_interval(params.seed, row_id, c.template.id))]


def render_one(compiled: Compiled, values: Row, choice_key: list[Any], place: str) -> Row:
    """The text columns of one row in one wording."""
    template = compiled.template
    context = {**values, CHOICE_KEY: choice_key, "answer_choices": None}
    try:
        context["answer_choices"] = choices = compiled.choices(copied(context))
        # A template may append to a list. No other text sees it: an imported wording builds its lists in each anew.
        prompt = compiled.prompt(copied(context))
        references = _texts(compiled.references(copied(context)))
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
        "answer_choices": choices,
    }


def copied(value: Any) -> Any:
    """``value`` with own lists and mappings at every depth; what cannot be changed is the same."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    """One text, or several (a list, or what a Jinja2 filter such as ``map`` yields), without the empty ones."""
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    texts = []
    for item in value if several else [value]:
        if item is not None and not isinstance(item, str | int | float | Undefined):
            raise TypeError(f"`references` must give a text or a list of texts; it gave a {type(item).__name__}")
        texts.append("" if item is None else str(item).strip())
    return [text for text in texts if text]


def _problem(rendered: Row, templates: TemplateSet, text: str) -> str | None:
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


def _leak(rendered: Row, template: Template, report: Report, place: str) -> str | None:
    """Count whether the prompt tells the completion; the reason to drop the row, if it is one."""
    prompt, choices = rendered["prompt"], rendered["answer_choices"]
    if choices and not template.extractive and names_only(prompt, rendered["completion"], choices):
        report.name_choice(template.id, rendered["completion"], place)
    told = None if template.extractive or choices else leaked_reference(prompt, rendered["references"])
    report.leak(template.id, told is not None, place)
    return "leak" if told is not None and not is_short(told) else None


def _time(row: Row, params: TemplateParams, place: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 date or time (UTC where it names no zone), or the number that it is.

    Digits alone are a number, also as text: ``20240601`` must not mean a date in one file and a number in another.
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
            f"{place}: column {params.time!r} of `template.time` must be a number or an ISO 8601 date or time; "
            f"it is {value!r}; the row has {', '.join(sorted(row))}"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _group(row: Row, inputs: list[str], params: TemplateParams, place: str) -> str:
    if params.group is not None and params.group not in row:
        raise TunesmithError(
            f"{place}: column {params.group!r} of `template.group` is missing; the row has {', '.join(sorted(row))}"
        )
    # An empty cell of a CSV is no value: rows that lack one have nothing in common.
    if params.group is not None and plain(row[params.group]).strip():
        return str(row[params.group])
    # Not of the prompt: a row that several wordings show would stand on several sides.
    return digest([normalised(text) for text in inputs])[:24]
