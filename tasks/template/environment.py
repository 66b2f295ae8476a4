"""The Jinja2 environment of all templates: a sandbox, strict about names, with a few filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import StrictUndefined, meta, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from tasks.files import unit_interval

SEPARATOR = "|||"
"""Stands between answer choices, and in promptsource's templates between prompt and completion."""

PRIVATE_SEPARATOR = "\u241e"
"""Takes the place of ``SEPARATOR`` while a template renders, so that one in the data separates nothing."""

CHOICE_KEY = "_choice_key"
"""Name under which a rendering tells ``choice`` whose row it is; no column can have it in a template set."""

# autoescape would turn the quotes and ampersands of a chat into HTML entities.
ENVIRONMENT = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


@pass_context
def choice(context: Context, items: Iterable[Any]) -> Any:
    """One of ``items``, as promptsource's filter, but the same one each time that the row is rendered."""
    listed = list(items)
    return listed[int(unit_interval("choice", context.get(CHOICE_KEY), plain(listed)) * len(listed))]


def most_frequent(items: Iterable[Any] | None) -> list[Any] | None:
    """All items that occur most often, in the order in which they come (promptsource's filter)."""
    counts = Counter(items or ()).most_common()
    return [item for item, count in counts if count == counts[0][1]] or None


def highlight(value: Any) -> Any:
    """``value`` as it is: promptsource's filter colours what its own web page shows, and no model should see that."""
    return value


def entities(tokens: list[str], tags: list[str]) -> list[tuple[str, str]]:
    """(text, type) of every entity that BIO ``tags`` mark in ``tokens``, in their order.

    An ``I-`` that continues no entity of its type begins one, as the CoNLL scorer reads it.

    Raises:
        ValueError: not one tag a token, or a tag that is neither ``O`` nor ``B-type`` or ``I-type``.
    """
    if len(tokens) != len(tags):
        raise ValueError(f"entities: every token needs one tag; there are {len(tokens)} tokens and {len(tags)} tags")
    found: list[tuple[list[str], str]] = []
    before = "O"
    for token, tag in zip(tokens, tags, strict=True):
        mark, _, kind = str(tag).partition("-")
        if tag != "O" and (mark not in {"B", "I"} or not kind):
            raise ValueError(f"entities: a tag must be O, B-type or I-type; it is {tag!r}")
        if mark == "I" and before[2:] == kind:
            found[-1][0].append(token)
        elif mark != "O":
            found.append(([token], kind))
        before = str(tag)
    return [(" ".join(words), kind) for words, kind in found]


def plain(value: Any) -> str:
    """A text for people from any value: lists and mappings give their values, joined by spaces."""
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
}
ENVIRONMENT.globals["zip"] = zip
del ENVIRONMENT.globals["lipsum"]  # random text


def names_in(text: str) -> set[str]:
    """The columns that a Jinja2 text uses (``answer_choices`` and functions are none).

    Raises:
        TemplateSyntaxError: it is no Jinja2.
    """
    return meta.find_undeclared_variables(ENVIRONMENT.parse(text)) - set(ENVIRONMENT.globals) - {"answer_choices"}


def names_in_expression(text: str) -> set[str]:
    """As ``names_in``, for a Jinja2 expression."""
    return names_in("{{ (" + text + ") }}")
