"""Render a row as a conversation: its ``messages`` and ``tools``, and the text columns that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.text.conversations import (
    Learn,
    Message,
    as_text,
    compared_turns,
    content_text,
    learned,
    oddities,
    parse,
    parse_tools,
    prompt_text,
    to_answer,
    to_json,
)
from tasks.text.rows import Row

CUT = "messages after the last learned one, which are cut off"


@dataclass(frozen=True)
class Conversation:
    """A rendered conversation.

    Attributes:
        columns: ``messages``, ``tools``, ``prompt``, ``completion``, ``references``, ``text`` and ``identity``.
        oddities: what is unusual in it.
        problem: the reason to drop it; None to keep it.
    """

    columns: Row
    oddities: list[str]
    problem: str | None


def conversation(value: Any, tools: Any, learn: Learn | None, location: str) -> Conversation:
    """Render what the expressions of a template give for ``messages`` and ``tools``.

    Raises:
        TunesmithError: as ``parse``, ``parse_tools`` and ``learned``.
    """
    messages = parse(value, location)
    kept = learned(messages, learn, location)
    schemas = parse_tools(tools, location)
    columns = columns_of(kept, location) | {"tools": to_json(schemas, location) if schemas else None}
    cut = [CUT] if kept and len(kept) < len(messages) else []
    return Conversation(columns, oddities(kept) + cut, _problem(kept))


def columns_of(messages: Sequence[Message], location: str = "") -> Row:
    """``messages`` and the text columns that follow from them; the last message is the completion.

    ``text`` and ``identity`` leave out system messages, which many rows share; ``identity`` also leaves out the results
    of tools.

    Raises:
        TunesmithError: as ``to_json``.
    """
    history = messages[:-1]
    completion = content_text(messages[-1]) if messages else ""
    return {
        "prompt": prompt_text(history) if history else "",
        "completion": completion,
        "references": [completion] if completion else [],
        "text": as_text([message for message in history if message["role"] != "system"]),
        "identity": "\n".join(compared_turns(history)),
        "messages": to_json(messages, location),
    }


def _problem(messages: Sequence[Message]) -> str | None:
    """The reason to drop a conversation; None to keep it."""
    if not messages:
        return "no assistant message to learn"
    if not any(message["role"] in ("user", "tool") for message in messages[:-1]):
        return "no user or tool message before the assistant message"
    for message in messages:
        blank = not content_text(message).strip()
        if blank and (message["role"] == "user" or message.get("train")):
            return f"an empty {message['role']} message"
    return None


def prompt_of(value: Any, tools: Any, location: str) -> Row:
    """The columns ``messages``, ``tools`` and ``prompt`` of a conversation to be continued.

    An assistant message at its end is a reference, and is not shown to the model.

    Raises:
        TunesmithError: as ``parse`` and ``parse_tools``.
    """
    messages = to_answer(parse(value, location))
    schemas = parse_tools(tools, location)
    usable = _problem([*messages[:-1], {"role": "assistant", "content": "-"}]) is None
    return {
        "prompt": prompt_text(messages[:-1]) if usable else "",
        "messages": to_json(messages, location),
        "tools": to_json(schemas, location) if schemas else None,
    }
