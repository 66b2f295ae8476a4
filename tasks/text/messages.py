"""One message of a conversation: the forms in which data sets write it → OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Required, TypedDict

from tasks.core.errors import TunesmithError, did_you_mean

Role = Literal["system", "user", "assistant", "tool"]


class Message(TypedDict, total=False):
    """A message in OpenAI's form.

    Attributes:
        content: the text as it stands in the data; None only beside tool calls.
        reasoning_content: what a reasoning model generated before the content.
        tool_calls: such as ``{"type": "function", "function": {"name": "f", "arguments": {}}}``.
        tool_call_id: id of the call that a tool's result belongs to.
        name: name of the tool, for a tool's result; for any other message, name of its author.
        train: only for assistant messages. ``parse_message`` sets it to the data's mark, if there is one. ``learned``
            sets it on each of them: whether training learns the message.
        weight: 0 if the data excludes this assistant message; it is then neither learned nor used as a reference.
    """

    role: Required[Role]
    content: Required[str | None]
    reasoning_content: str
    tool_calls: list[dict[str, Any]]
    tool_call_id: str
    name: str
    train: bool
    weight: Literal[0]


ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""Role in the data → role of a message. ``function_call`` and ``tool_call`` hold their calls as JSON."""

_CALLS = ("function_call", "tool_call")
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value")
_REASONING = ("reasoning_content", "reasoning", "thinking")


def parse_message(value: Any, where: str) -> Message:
    """Read one message, in OpenAI's form (``role``, ``content``) or ShareGPT's (``from``, ``value``).

    Keys that a chat template does not know, such as ``timestamp``, are left out.

    Raises:
        TunesmithError: it is no message, or it holds something other than text.
    """
    if not isinstance(value, Mapping):
        raise TunesmithError(
            f"{where}: a message must have `role` and `content` (OpenAI) or `from` and `value` (ShareGPT); it is "
            f"{_short(value)}; write it as one of these"
        )
    given = {str(key): item for key, item in value.items() if item is not None}
    name = _role(given, where)
    role = ROLES[name]
    content = _content(next((given[key] for key in _CONTENT_KEYS if key in given), None), where)
    message: Message = {"role": role, "content": content}
    if reasoning := next((given[key] for key in _REASONING if given.get(key)), None):
        message["reasoning_content"] = _text(reasoning, "reasoning", where)
    calls = _tool_calls(given, where)
    if name in _CALLS:
        message["content"], calls = _calls_in_text(content or "", where)
    if calls and role != "assistant":
        raise TunesmithError(
            f"{where}: only an assistant message may have tool calls; the role is {name!r}; correct the role or remove "
            "the calls"
        )
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    for key in ("tool_call_id", "name"):
        if key in given:
            message[key] = _text(given[key], key, where)
    if (mark := _mark(given, role, where)) is not None:
        message["train"] = mark
    return message


def _role(given: Mapping[str, Any], where: str) -> str:
    value = next((given[key] for key in _ROLE_KEYS if key in given), None)
    if value is None:
        raise TunesmithError(
            f"{where}: a message must state who writes, in `role` or `from`; it has {', '.join(given) or 'nothing'}; "
            "add the role"
        )
    name = str(value).strip().lower()
    if name not in ROLES:
        raise TunesmithError(
            f"{where}: the role must be one of {', '.join(ROLES)}; it is {value!r}"
            f"{did_you_mean(name, ROLES)}; correct it"
        )
    return name


def _content(value: Any, where: str) -> str | None:
    """The text of a content, or of its parts, one after the other."""
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, list | tuple):
        raise TunesmithError(f"{where}: the content must be text; it is {_short(value)}; write it as text")
    return "".join(_part(part, where) for part in value)


def _part(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    given = {key: item for key, item in part.items() if item is not None} if isinstance(part, Mapping) else {}
    kind = given.get("type", "text" if "text" in given else None)
    if kind != "text" or not isinstance(given.get("text"), str):
        raise TunesmithError(
            f"{where}: a part of the content must be text ({{'type': 'text', 'text': …}}), since models are trained on "
            f"text alone; this part is of type {kind!r}; remove the part or the row"
        )
    return str(given["text"])


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise TunesmithError(f"{where}: `{key}` must be text; it is {_short(value)}; write it as text")
    return value


def _tool_calls(given: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    value = given.get("tool_calls") or given.get("function_call") or []
    if isinstance(value, str):
        value = parsed_json(value)
    calls = [value] if isinstance(value, Mapping) else value
    if not isinstance(calls, list | tuple):
        raise TunesmithError(f"{where}: `tool_calls` must be a list of calls; it is {_short(value)}; write a list")
    return [_call(call, where) for call in calls]


def _call(value: Any, where: str) -> dict[str, Any]:
    """A call as given, with its arguments as an object where they are JSON text of one."""
    call = {key: item for key, item in value.items() if item is not None} if isinstance(value, Mapping) else {}
    inner = call.get("function", call)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise TunesmithError(
            f"{where}: a tool call must be {{'function': {{'name': …, 'arguments': …}}}}; it is {_short(value)}; "
            "name the function"
        )
    function = {key: item for key, item in inner.items() if item is not None}
    if isinstance(arguments := function.get("arguments"), str):
        parsed = parsed_json(arguments)
        function["arguments"] = parsed if isinstance(parsed, dict) else arguments
    return {**call, "function": function} if "function" in call else {"type": "function", "function": function}


def _calls_in_text(text: str, where: str) -> tuple[str | None, list[dict[str, Any]]]:
    """The text before the JSON of a call, None if there is none, and the calls."""
    starts = [start for start in (text.find("{"), text.find("[")) if start >= 0]
    calls = parsed_json(text[min(starts) :]) if starts else None
    if not isinstance(calls, dict | list):
        raise TunesmithError(
            f"{where}: a turn with the role `function_call` or `tool_call` must contain JSON with `name` and "
            f"`arguments`; it is {_short(text)}; correct it, or give the turn the role `gpt`"
        )
    before = text[: min(starts)]
    return before if before.strip() else None, [
        _call(one, where) for one in (calls if isinstance(calls, list) else [calls])
    ]


def _mark(given: Mapping[str, Any], role: Role, where: str) -> bool | None:
    """Whether the data marks an assistant message as learned (``train`` or ``weight``); None without a mark."""
    marks = {key: given[key] for key in ("train", "weight") if key in given}
    for key, value in marks.items():
        if value not in (0, 1):
            expected = "true or false" if key == "train" else "0 or 1"
            raise TunesmithError(f"{where}: `{key}` must be {expected}; it is {value!r}; correct it")
    values = {bool(value) for value in marks.values()}
    if len(values) > 1:
        raise TunesmithError(f"{where}: `train` and `weight` must not contradict; they are {marks}; remove one of them")
    if role == "assistant":
        return values.pop() if values else None
    if marks.get("train"):
        raise TunesmithError(
            f"{where}: only assistant messages are learned; `train` is true for a {role} message; remove `train` there"
        )
    return None


def parsed_json(text: str) -> Any:
    """The value of ``text`` as JSON; None if it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
