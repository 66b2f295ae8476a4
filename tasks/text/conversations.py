"""Conversations: parse them, choose what is learned of them, and write them as text.

A stored conversation is JSON text (``to_json``), so that every value keeps its type. See docs/conversations.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tasks.core.errors import TunesmithError
from tasks.text.messages import Message, Role, parse_message, parsed_json
from tasks.text.rows import Row

__all__ = ["Learn", "Message", "parse"]

Learn = Literal["last", "all", "marked"]

_BEGINNING = re.compile(r"\s*\[\s*\{")
"""The beginning of JSON text of a list of messages."""

_LABELS = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def parse(value: Any, where: str) -> list[Message]:
    """Read OpenAI's ``messages`` or ShareGPT's ``conversations``: a list, or JSON text of one.

    Args:
        value: the list, or JSON text of one; None and an empty text give an empty list.
        where: file and line of the row, for errors.

    Raises:
        TunesmithError: it is no list of messages; the error names row, turn and value.
    """
    if isinstance(value, str) and value.strip():
        value = _from_text(value, where, "a conversation must be a list of messages, or JSON text of one")
    if value is None or value == "":
        return []
    if not isinstance(value, list | tuple):
        raise TunesmithError(f"{where}: a conversation must be a list of messages; it is a {type(value).__name__}")
    return [parse_message(one, f"{where}, turn {turn}") for turn, one in enumerate(value, start=1)]


def parse_tools(value: Any, where: str) -> list[Any] | None:
    """Read the tool schemas of a row: a list, or JSON text of one; None without any.

    Raises:
        TunesmithError: it is no list of schemas.
    """
    if isinstance(value, str) and value.strip():
        value = _from_text(value, where, "`tools` must be a list of schemas, or JSON text of one")
    if value is None or value == "" or value == []:
        return None
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise TunesmithError(f"{where}: `tools` must be a list of schemas; it is {value!r}; write a list of mappings")
    return list(value)


def _from_text(text: str, where: str, rule: str) -> Any:
    value = parsed_json(text)
    if not isinstance(value, list):
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        raise TunesmithError(f"{where}: {rule}; it is {shown!r}; write it as JSON")
    return value


def with_system(messages: Any, system: Any) -> Any:
    """``messages`` with the text ``system`` as the first message, unless it is empty or they begin with it.

    Raises:
        ValueError: they begin with another system message.
    """
    if system is None or not str(system).strip():
        return messages
    turns = parse(messages, "messages")
    if turns and turns[0]["role"] == "system":
        if turns[0]["content"] != str(system):
            raise ValueError("the row has a system message and another `system`; remove one of them")
        return messages
    return [{"role": "system", "content": str(system)}, *turns]


def answered_by(prompt: Any, answer: Any) -> list[Any]:
    """The conversation of a prompt and its answer; each is a text, a list of messages, or JSON text of one.

    An answer that does not begin with an assistant message is the whole conversation, as in UltraFeedback. An empty
    prompt gives the answer alone.
    """
    reply = _turns_of(answer, "assistant", "answer")
    if reply and reply[0]["role"] != "assistant":
        return reply
    opening = _turns_of(prompt, "user", "prompt")
    return [*opening, *reply] if any(content_text(message).strip() for message in opening) else reply


def _turns_of(value: Any, role: Role, where: str) -> list[Message]:
    """The messages of a list, or one message of a text or a number; none for an empty value."""
    if isinstance(value, str) and form_of_text(value):
        value = parsed_json(value)
    if isinstance(value, list | tuple):
        return parse(value, where)
    text = "" if value is None else value
    if isinstance(text, int | float):
        text = str(text)
    return parse([{"role": role, "content": text}], where) if text != "" else []


Form = Literal["openai", "sharegpt"]


def form_of(value: Any) -> Form | None:
    """The form in which a list holds a conversation: OpenAI's or ShareGPT's; None if it holds none."""
    if not isinstance(value, list) or not value or not all(isinstance(turn, Mapping) for turn in value):
        return None
    if all("role" in turn and turn.keys() & {"content", "tool_calls", "function_call"} for turn in value):
        return "openai"
    return "sharegpt" if all({"from", "value"} <= turn.keys() for turn in value) else None


def form_of_text(text: str) -> Form | None:
    """``form_of`` JSON text, as in a CSV file; None for other text."""
    return form_of(parsed_json(text)) if _BEGINNING.match(text) else None


def learned(messages: Sequence[Message], learn: Learn | None, where: str) -> list[Message]:
    """``messages`` up to the last assistant message that can be learned, with ``train`` on each assistant message.

    With ``marked``, turns are learned as the row marks them. If it marks some as learned, the others are not; if it
    only excludes some, the others are. An excluded message keeps ``weight: 0``.

    Args:
        learn: None is ``all``, for rows without marks.

    Raises:
        TunesmithError: the row has marks and ``learn`` is None, or it has none and ``learn`` is ``marked``.
    """
    turns = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    marks = {number: messages[number]["train"] for number in turns if "train" in messages[number]}
    if learn is None and marks:
        raise TunesmithError(
            f"{where}, turn {min(marks) + 1}: the row marks what is learned (`train`, `weight`); set `template.learn` "
            "in params/sources.yaml to `marked`, or to `all` or `last` to ignore the marks"
        )
    if learn == "marked" and turns and not marks:
        raise TunesmithError(
            f"{where}: with `learn: marked`, a row must mark at least one assistant message (`train` or `weight`); "
            "none is marked; add marks, or set `template.learn` in params/sources.yaml to `all` or `last`"
        )
    if learn == "marked":
        train = {number: marks.get(number, not any(marks.values())) for number in turns}
        turns = [number for number in turns if train[number]]
    else:
        train = {number: learn != "last" or number == turns[-1] for number in turns}
    end = turns[-1] + 1 if turns else 0
    return [_with_mark(message, train.get(number), learn) for number, message in enumerate(messages[:end])]


def _with_mark(message: Message, train: bool | None, learn: Learn | None) -> Message:
    unmarked: Message = {**message}
    unmarked.pop("train", None)
    if train is None:
        return unmarked
    excluded: Message = {**unmarked, "train": train, "weight": 0}
    return excluded if learn == "marked" and not train else {**unmarked, "train": train}


def oddities(messages: Sequence[Message]) -> list[str]:
    """What is unusual in the order of the roles, each once. Some chat templates refuse such a conversation."""
    odd = []
    before: str | None = None
    for number, message in enumerate(messages):
        role = message["role"]
        if number and role == "system":
            odd.append("a system message after the first message")
        if role == "assistant" and before in (None, "system"):
            odd.append("an assistant message before any user message")
        if role == before and role in ("user", "assistant"):
            odd.append(f"two {role} messages in a row")
        if role == "tool" and before not in ("tool", "assistant"):
            odd.append("a tool message that follows no assistant message")
        before = role
    return list(dict.fromkeys(odd))


def content_text(message: Message) -> str:
    """The content of a message and, each on a line of its own, its tool calls as JSON (``name``, ``arguments``)."""
    calls = [
        json.dumps({key: call["function"].get(key) for key in ("name", "arguments")}, ensure_ascii=False)
        for call in message.get("tool_calls", ())
    ]
    return "\n".join([*([message["content"]] if message["content"] else []), *calls])


def as_text(messages: Sequence[Message]) -> str:
    """A conversation as text: ``User: …``, one paragraph per message. A single user message is its content alone."""
    if [message["role"] for message in messages] == ["user"]:
        return content_text(messages[0])
    return "\n\n".join(f"{_LABELS[message['role']]}: {content_text(message)}" for message in messages)


def prompt_text(history: Sequence[Message]) -> str:
    """The text after which a model without a chat template generates: ``as_text``, ended by ``Assistant:``.

    A single user message is its content alone, as in a row of prompt and completion.
    """
    text = as_text(history)
    return text if [message["role"] for message in history] == ["user"] else f"{text}\n\nAssistant:"


def compared_turns(messages: Sequence[Message]) -> list[str]:
    """The texts of user and assistant messages; system messages and results of tools repeat in many rows."""
    texts = (content_text(message) for message in messages if message["role"] in ("user", "assistant"))
    return [text for text in texts if text.strip()]


def to_json(value: Sequence[Any], where: str) -> str:
    """Messages or tools as JSON text.

    Raises:
        TunesmithError: a value is no JSON value, such as a date or NaN.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TunesmithError(f"{where}: messages and tools must be JSON values; {error}; correct the row") from None


def messages_of(row: Row) -> list[Message] | None:
    """The stored messages of a rendered row; None for a row of prompt and completion, also of an earlier version."""
    text = row.get("messages")
    messages: list[Message] | None = json.loads(text) if text else None
    return messages


def history_turns(row: Row) -> list[str]:
    """The texts of the user and assistant messages before the completion of a rendered row; empty without messages."""
    messages = messages_of(row)
    return compared_turns(messages[:-1]) if messages else []


def to_answer(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with an empty assistant message at the end, to be generated; it replaces one that is there."""
    history = list(messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages)
    return [*history, {"role": "assistant", "content": "", "train": True}]
