"""Kinds of values in the first rows of a file, by which formats of rows are told apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

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
        return (_kind_of_text(value) or "text") if value.strip() else None
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, str) for item in value):
        return "texts"
    return _conversation(value) or "list"


def _kind_of_text(text: str) -> Kind | None:
    """The kind of a conversation that is written as JSON text, as in a CSV file; None for other text."""
    if not text.lstrip().startswith("[{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _conversation(value)


def _conversation(turns: list[Any]) -> Kind | None:
    if not all(isinstance(turn, Mapping) for turn in turns):
        return None
    if all("role" in turn and turn.keys() & {"content", "tool_calls", "function_call"} for turn in turns):
        return "openai"
    return "sharegpt" if all({"from", "value"} <= turn.keys() for turn in turns) else None


def marks_turns(rows: Iterable[Row], column: str) -> bool:
    """Whether the conversations of ``column`` mark what is learned, by ``train`` or ``weight`` of a message."""
    values = [row.get(column) for row in rows]
    turns = [turn for value in values if isinstance(value, list) for turn in value if isinstance(turn, Mapping)]
    return any(turn.keys() & {"train", "weight"} for turn in turns)


def shown(value: Any, width: int = 60) -> str:
    """``value`` on one line, as JSON, cut after ``width`` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else f"{text[: width - 1]}…"
