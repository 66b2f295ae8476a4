"""Templates ready to render a row: as texts (``render_one``), or as a conversation (``messages_and_tools``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Undefined

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.template.environment import CHOICE_KEY, ENVIRONMENT, PRIVATE_SEPARATOR, SEPARATOR, copied, plain, rendering
from tasks.template.library import Template, TemplateSet
from tasks.template.params import TemplateParams
from tasks.template.validate import unused_columns
from tasks.text.rows import Row, without_nan


@dataclass(frozen=True)
class Compiled:
    """A template ready to render; its functions take the columns of a row.

    A template may append to a list, so each function renders a copy: imported templates build their lists anew.

    Attributes:
        needs: the optional columns that it uses.
        text_columns: for an inverted template, the columns of its prompt; else empty.
        messages, tools: of a conversation, which has no ``prompt``, ``references`` and ``choices``.
    """

    template: Template
    task: str
    needs: frozenset[str]
    text_columns: tuple[str, ...]
    prompt: Callable[[Row], str]
    references: Callable[[Row], Any]
    choices: Callable[[Row], list[str] | None]
    messages: Callable[[Row], Any] | None = None
    tools: Callable[[Row], Any] | None = None


def choose(templates: TemplateSet, params: TemplateParams, source: str) -> list[Template]:
    """The templates that ``params.use`` names, or all of the set.

    Raises:
        TunesmithError: ``use`` names an unknown template, ``columns`` or ``values`` an unknown column, both name the
            same column, or a chosen template does not use a required column.
    """
    where = f"params/sources.yaml: sources.{source}.template"
    if params.learn is not None and not templates.conversational:
        raise TunesmithError(
            f"{where}.learn: only conversations have turns to choose; the set {templates.name!r} has prompts, of which "
            "training learns the completion; remove the key"
        )
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
    if template.messages is not None:
        return _compile_conversation(template, template.messages, templates)
    if template.references is None:
        references: Callable[..., Any] = rendering(template.completion or "")
    else:
        references = _expression(template.references)
    prompt_columns = template.prompt_columns() - params.values.keys()
    return Compiled(
        template,
        templates.task_of(template),
        frozenset(template.columns()) & frozenset(templates.optional),
        tuple(name for name in templates.columns if name in prompt_columns) if template.inverted else (),
        rendering(template.prompt or ""),
        references,
        _choices(template.answer_choices),
    )


def _compile_conversation(template: Template, messages: str, templates: TemplateSet) -> Compiled:
    tools = template.tools
    return Compiled(
        template,
        templates.task_of(template),
        frozenset(),  # the expressions see None for an optional column without a value
        (),
        lambda values: "",
        lambda values: "",
        lambda values: None,
        _expression(messages),
        _expression(tools) if tools else None,
    )


def _expression(text: str) -> Callable[[Row], Any]:
    """A function that gives the value of a Jinja2 expression for a row."""
    expression = ENVIRONMENT.compile_expression(text, undefined_to_none=False)
    return lambda values: expression(copied(values))


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
        "template": template.text,
        "prompt": prompt,
        "completion": references[0] if references else "",
        "references": references,
        "answer_choices": choices,
        "messages": None,
        "tools": None,
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


def messages_and_tools(compiled: Compiled, values: Row, choice_key: list[Any], location: str) -> tuple[Any, Any]:
    """What the expressions of a conversation give for one row.

    Raises:
        TunesmithError: an expression fails on the row.
    """
    assert compiled.messages is not None
    context = {**values, CHOICE_KEY: choice_key, "answer_choices": None}
    try:
        messages = compiled.messages(context)
        return messages, compiled.tools(context) if compiled.tools else None
    except Exception as error:  # a template is the user's code
        raise TunesmithError(
            f"{location}: template {compiled.template.id!r} fails on this row: {error}; correct the row or the template"
        ) from None
