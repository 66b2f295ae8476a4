"""The Jinja2 environment of all templates: a sandbox, strict about names, with a few filters of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment, SecurityError

from tasks.core.files import unit_interval
from tasks.text.conversations import answered_by, with_system

SEPARATOR = "|||"
"""Separates answer choices and, in promptsource's templates, prompt and completion."""

PRIVATE_SEPARATOR = "\u241e"
"""Replaces ``SEPARATOR`` while a template renders, so that a separator in the data separates nothing."""

CHOICE_KEY = "_choice_key"
"""Variable that identifies the row for the filter ``choice``; no column can have this name."""

MAX_BITS, MAX_ITEMS = 10_000, 1_000_000
"""Bits of the largest number, and length of the longest text or list, that ``*`` and ``**`` may give."""


class Sandbox(SandboxedEnvironment):
    """Jinja2's sandbox, which also limits ``*`` and ``**``: they could compute for minutes or fill the memory."""

    intercepted_binops = frozenset({"*", "**"})  # nor are they computed at compilation

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if _size(operator, left, right) > 1:
            raise SecurityError(f"the result of {operator!r} would be enormous")
        return super().call_binop(context, operator, left, right)


def _size(operator: str, left: Any, right: Any) -> float:
    """Upper bound of the result's size, as a share of the largest allowed one."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        return bits / MAX_BITS
    times = [value for value in (left, right) if isinstance(value, int)]
    items = [value for value in (left, right) if isinstance(value, str | bytes | list | tuple)]
    return len(items[0]) * times[0] / MAX_ITEMS if times and items else 0


# autoescape would turn quotes and ampersands of a text into HTML entities. optimized would compute constants when a
# template is loaded, where an error names no row.
ENVIRONMENT = Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False, optimized=False)


def rendering(text: str) -> Callable[[Mapping[str, Any]], str]:
    """A function that renders a Jinja2 text without the white space that the text itself has at its ends.

    White space of a *value* stays: the indentation of code belongs to it.
    """
    template = ENVIRONMENT.from_string(text)

    def render(values: Mapping[str, Any]) -> str:
        rendered = template.render(copied(values))
        return rendered if rendered == rendered.strip() else _trimmed(rendered, text, values)

    return render


_MARK = "\ufdd0"
"""Stands around values whose white space stays; Unicode gives this code to no character."""


def _trimmed(rendered: str, text: str, values: Mapping[str, Any]) -> str:
    marked = _marking().from_string(text).render(copied(values))
    # A template that captures a value (a macro, `set`, `filter`) may have treated the marks as text.
    return marked.strip().replace(_MARK, "") if marked.replace(_MARK, "") == rendered else rendered.strip()


@cache
def _marking() -> Environment:
    """The environment that marks each value with white space at an end and text between."""
    return ENVIRONMENT.overlay(finalize=_marked)


def _marked(value: Any) -> Any:
    text = str(value)
    return value if text.strip() in ("", text) else f"{_MARK}{text}{_MARK}"


def copied(value: Any) -> Any:
    """A deep copy of lists and mappings."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


@pass_context
def choice(context: Context, items: Iterable[Any]) -> Any:
    """Choose one of ``items``, as promptsource's filter does, but the same one each time that the row is rendered."""
    listed = list(items)
    return listed[int(unit_interval("choice", context.get(CHOICE_KEY), plain(listed)) * len(listed))]


def most_frequent(items: Iterable[Any] | None) -> list[Any] | None:
    """All items that occur most often, in the order in which they first come (promptsource's filter)."""
    counts = Counter(items or ()).most_common()
    return [item for item, count in counts if count == counts[0][1]] or None


def highlight(value: Any) -> Any:
    """Return ``value`` unchanged: promptsource's filter only colours text on its web page."""
    return value


def entities(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """(text, type) of every entity that BIO ``tags`` mark in ``tokens``, in order.

    An ``I-`` tag that continues no entity of its type begins one, as in the CoNLL scorer.

    Raises:
        ValueError: the numbers of tags and tokens differ, or a tag is not ``O``, ``B-type`` or ``I-type``.
    """
    if len(tokens) != len(tags):
        raise ValueError(f"entities: every token needs one tag; there are {len(tokens)} tokens and {len(tags)} tags")
    spans: list[tuple[list[str], str]] = []
    before = "O"
    for token, tag in zip(tokens, tags, strict=True):
        mark, _, kind = str(tag).partition("-")
        if tag != "O" and (mark not in {"B", "I"} or not kind):
            raise ValueError(f"entities: a tag must be O, B-type or I-type; it is {tag!r}")
        if mark == "I" and before[2:] == kind:
            spans[-1][0].append(token)
        elif mark != "O":
            spans.append(([token], kind))
        before = str(tag)
    return [(" ".join(words), kind) for words, kind in spans]


def plain(value: Any) -> str:
    """``value`` as plain text; the values of a list or mapping are joined by spaces."""
    if isinstance(value, Mapping):
        return plain(list(value.values()))
    if isinstance(value, list | tuple):
        return " ".join(text for item in value if (text := plain(item)))
    return "" if value is None else str(value)


ENVIRONMENT.filters |= {
    "choice": choice,
    "random": choice,  # Jinja2's own would differ at each rendering
    "most_frequent": most_frequent,
    "highlight": highlight,
    "entities": entities,
    "plain": plain,
    "with_system": with_system,
    "answered_by": answered_by,
}
ENVIRONMENT.globals["zip"] = zip
del ENVIRONMENT.globals["lipsum"]  # random text


def names_in(text: str) -> set[str]:
    """The columns that a Jinja2 text uses, without ``answer_choices`` and the functions that it calls.

    Raises:
        TemplateSyntaxError: the text is not valid Jinja2.
    """
    tree = ENVIRONMENT.parse(text)
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    # Jinja2 leaves out the names of its functions, even if a text uses one as a column.
    shown = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load" and id(name) not in called}
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    functions = (shown & RESERVED) - stored
    return (meta.find_undeclared_variables(tree) | functions) - {"answer_choices"}


def names_in_expression(text: str) -> set[str]:
    """As ``names_in``, for a Jinja2 expression."""
    return names_in("{{ (" + text + ") }}")


def jinja_problem(error: Exception) -> str:
    """The problem of a text that does not compile, in one line."""
    line = f" in line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
    return f"not valid Jinja2{line}: {' '.join(str(error).split())}"


RESERVED = frozenset(ENVIRONMENT.globals) | {CHOICE_KEY, "answer_choices", "self"}
"""Names that templates use for other things than columns."""


def reserved_problem(names: Iterable[str]) -> str | None:
    """The problem of the first of ``names`` that no column may have; None if every name is allowed."""
    taken = sorted(set(names) & RESERVED)
    return f"no column can be called {taken[0]!r}, which means something else in a template" if taken else None
