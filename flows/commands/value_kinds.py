"""Kinds of values in the first rows of a file, by which formats of rows are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tasks.core.errors import TunesmithError
from tasks.text.conversations import form_of, form_of_text, parse
from tasks.text.rows import Row

Kind = Literal["text", "texts", "number", "openai", "sharegpt", "list", "object", "mixed"]

CONVERSATIONS: tuple[Kind, ...] = ("openai", "sharegpt")

DESCRIBED: dict[Kind, str] = {
    "text": "text",
    "texts": "lists of texts",
    "number": "numbers",
    "openai": "lists of messages with `role` and `content`",
    "sharegpt": "lists of turns with `from` and `value`",
    "list": "lists",
    "object": "objects",
    "mixed": "values of several kinds",
}


def kinds_of(rows: Iterable[Row]) -> dict[str, Kind | None]:
    """Column → the kind of its values in ``rows``; None if it has none."""
    kinds: dict[str, set[Kind]] = {}
    for row in rows:
        for column, value in row.items():
            kind = _kind(value)
            kinds.setdefault(column, set()).update({kind} if kind else ())
    return {column: _one(several) for column, several in kinds.items()}


def _one(kinds: set[Kind]) -> Kind | None:
    if kinds in ({"text", "number"}, {"text", "texts"}):  # a code beside names; one reference beside several
        return "text" if "number" in kinds else "texts"
    return None if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"


def _kind(value: Any) -> Kind | None:
    if isinstance(value, str):
        return (form_of_text(value) or "text") if value.strip() else None
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, str) for item in value):
        return "texts"
    return form_of(value) or "list"


def marks_turns(rows: Iterable[Row], column: str) -> bool:
    """Whether a conversation of ``column`` marks what is learned: ``train`` or ``weight`` of an assistant message."""
    for row in rows:
        try:
            if any("train" in message for message in parse(row.get(column), "")):
                return True
        except TunesmithError:
            continue  # the row is counted as one that cannot be read
    return False


def shown(value: Any, width: int = 60) -> str:
    """``value`` on one line, as JSON, cut after ``width`` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else f"{text[: width - 1]}…"
