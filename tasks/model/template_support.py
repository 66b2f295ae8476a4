"""What a chat template knows of a conversation; the rest becomes text of the messages.

SmolLM2's template leaves calls out, Gemma's refuses a system message. A call becomes a line of JSON below the content
of its message, as in the column ``completion``. Schemas become lines of JSON at the end of the system message. A system
message without a role of its own becomes the beginning of the first user message. Results of a tool without a role for
them become a user message.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

from tasks.model.chat import Chat, Message, TurnError
from tasks.text import messages as stated
from tasks.text.conversations import content_text

_USER: Message = {"role": "user", "content": "Are you here?"}
_REPLY: Message = {"role": "assistant", "content": "Yes."}
_CALLED, _OFFERED, _TEXT = "zq_called", "zq_offered", "zq text"
_CALL = {"type": "function", "id": "zqprobe12", "function": {"name": _CALLED, "arguments": {"a": "b"}}}
_SCHEMA = {
    "type": "function",
    "function": {
        "name": _OFFERED,
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string", "description": "A letter."}}},
    },
}


@dataclass(frozen=True)
class Known:
    """What a chat template renders: ``tool_calls``, schemas (``tools``), the role ``tool`` and the role ``system``."""

    calls: bool
    schemas: bool
    results: bool
    system: bool

    @classmethod
    def by(cls, tokenizer: Any, date: str, with_schemas: bool) -> Known:
        """Render one probe for each with the chat template that ``tokenizer`` has for rows with or without schemas."""
        schemas = _renders(Chat(tokenizer, date, [_SCHEMA]), _OFFERED, [_USER, _REPLY])
        chat = Chat(tokenizer, date, [_SCHEMA] if with_schemas and schemas else None)
        calling = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
        calls = _renders(chat, _CALLED, [_USER, calling])
        result: Message = {"role": "tool", "content": _TEXT, "tool_call_id": "zqprobe12", "name": _CALLED}
        return cls(
            calls=calls,
            schemas=schemas,
            results=_renders(chat, _TEXT, [_USER, calling if calls else _REPLY, result, _REPLY]),
            system=_renders(chat, _TEXT, [{"role": "system", "content": _TEXT}, _USER, _REPLY]),
        )

    def as_text(self, messages: list[Message], tools: list[Any] | None) -> tuple[list[Message], list[Any] | None]:
        """Write what the chat template does not know into the text of the messages.

        Returns: the messages, and the schemas that are left for the chat template; None if there are none.
        """
        if not self.calls:
            messages = [_with_calls_in_content(message) for message in messages]
        if not self.results:
            messages = _with_results_by_user(messages)
        if tools and not self.schemas:
            messages, tools = _with_schemas_in_system(messages, tools), None
        if not self.system and messages[0]["role"] == "system":
            messages = _with_system_by_user(messages)
        return messages, tools


def _renders(chat: Chat, text: str, messages: list[Message]) -> bool:
    try:
        return text in chat.whole(messages)
    except TurnError:
        return False


def may_be_unknown(messages: Sequence[Message], tools: list[Any] | None) -> bool:
    """Whether a conversation has what some chat templates do not know: a system message, schemas, calls or results."""
    roles = {message["role"] for message in messages}
    return bool(tools) or bool(roles & {"system", "tool"}) or any(message.get("tool_calls") for message in messages)


def _with_calls_in_content(message: Message) -> Message:
    if not message.get("tool_calls"):
        return message
    content = content_text(cast(stated.Message, message))
    return {key: value for key, value in message.items() if key != "tool_calls"} | {"content": content}


def _with_results_by_user(messages: Sequence[Message]) -> list[Message]:
    changed: list[Message] = []
    for role, several in groupby(messages, key=lambda message: message["role"]):
        if role == "tool":
            changed.append({"role": "user", "content": "\n".join(one["content"] or "" for one in several)})
        else:
            changed += several
    return changed


def _with_schemas_in_system(messages: list[Message], tools: Sequence[Any]) -> list[Message]:
    text = "\n".join(["Tools:", *(json.dumps(tool, ensure_ascii=False) for tool in tools)])
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": text}, *messages]
    return [messages[0] | {"content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]


def _with_system_by_user(messages: list[Message]) -> list[Message]:
    system, *others = messages
    if not others or others[0]["role"] != "user":
        return [system | {"role": "user"}, *others]
    return [others[0] | {"content": f"{system['content']}\n\n{others[0]['content']}"}, *others[1:]]
