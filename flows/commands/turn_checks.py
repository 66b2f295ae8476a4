"""Problems of a conversation, quickly: a million of them are looked at when files are added."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tasks.text.conversations import oddities, parse
from tasks.text.messages import ROLES, Message

_PLAIN = ({"role", "content"}, {"from", "value"})


def turn_problems(value: Any, where: str, marked: bool) -> tuple[str, ...]:
    """What is odd in a conversation: an order of roles that chat templates may refuse, no answer, an empty message.

    Args:
        marked: rows must mark what is learned (``learn: marked``).

    Returns: ends of the sentence "3 rows …".

    Raises:
        TunesmithError: it is no conversation.
    """
    roles, blank = _plain_roles(value)
    lacks_mark = marked  # a plain message has no mark
    if roles is None:
        messages = parse(value, where)
        roles = tuple(message["role"] for message in messages)
        blank = any(not (message["content"] or "").strip() and "tool_calls" not in message for message in messages)
        lacks_mark = marked and not any("train" in message for message in messages)
    problems = [*_of_roles(roles), *(["with an empty message"] if blank else [])]
    return (*problems, "without a mark of what is learned") if lacks_mark else tuple(problems)


def _plain_roles(value: Any) -> tuple[tuple[str, ...] | None, bool]:
    """The roles of a conversation of texts alone, and whether a text is blank; None where it must be parsed."""
    if type(value) is not list:
        return None, False
    roles, blank = [], False
    for turn in value:
        if type(turn) is not dict or turn.keys() not in _PLAIN:
            return None, False
        role, text = turn.values() if next(iter(turn)) in ("role", "from") else reversed(turn.values())
        if type(role) is not str or type(text) is not str:
            return None, False
        roles.append(role)
        blank = blank or not text or text.isspace()
    known = _known(tuple(roles))
    return (known, blank) if known is not None else (None, False)


@lru_cache(maxsize=10_000)
def _known(roles: tuple[str, ...]) -> tuple[str, ...] | None:
    """The roles in OpenAI's words; None if one is unknown, or its text holds a call."""
    if any(role not in ROLES or role.endswith("_call") for role in roles):
        return None
    return tuple(ROLES[role] for role in roles)


@lru_cache(maxsize=10_000)
def _of_roles(roles: tuple[str, ...]) -> tuple[str, ...]:
    messages: list[Message] = [{"role": role, "content": "-"} for role in roles]  # type: ignore[typeddict-item]
    problems = [f"with {problem}" for problem in oddities(messages)]
    if "assistant" not in roles:
        problems.append("without an assistant message")
    elif roles[-1] != "assistant":
        problems.append("with messages after the last assistant message, which are cut off")
    return tuple(problems)
