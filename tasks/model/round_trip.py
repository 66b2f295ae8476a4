"""Whether the tokens of a row give its own text back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.model.chat import Message
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer, conversation, learned_turns
from tasks.text.rows import Row

BY_TOKENIZER = "text that the tokenizer cannot represent"
WHITE_SPACE = "white space that the chat template removes at the ends of a text"
BY_TEMPLATE = "text that the chat template rewrites"
REASONING = "reasoning that the chat template leaves out"
UNKNOWN = "a system message or tools that the chat template does not know, so that they are text of other messages"


def changes(renderer: Renderer, row: Row, encoded: Encoded) -> list[str]:
    """Return in what ways the decoded tokens differ from the row's own text; empty if all of it comes back."""
    tokenizer = renderer.tokenizer

    def decoded(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    ids = [*encoded.prompt, *encoded.completion]
    whole = decoded(ids) if renderer.kind != "seq2seq" else f"{decoded(encoded.prompt)}\n{decoded(encoded.completion)}"
    messages, tools = conversation(row) if renderer.chats else (None, None)
    if messages is None:
        reasons = [_reason(text, whole, tokenizer, decoded) for text in (row["prompt"], row["completion"])]
    else:
        learned = learned_turns(messages)
        shown = messages[: learned[-1] + 1]
        reasons = [_reason(text, whole, tokenizer, decoded) for text in _texts(shown, tools)]
        reasons += [REASONING for i in learned if (messages[i].get("reasoning_content") or "").strip() not in whole]
        reasons += [UNKNOWN] if renderer.conversation(row) != (messages, tools) else []
    return [reason for reason in dict.fromkeys(reasons) if reason]


def _reason(text: str, whole: str, tokenizer: Any, decoded: Any) -> str | None:
    if text in whole:
        return None
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if decoded(ids) != text:
        return BY_TOKENIZER
    return WHITE_SPACE if text.strip() in whole else BY_TEMPLATE


def _texts(messages: Sequence[Message], tools: Sequence[Any] | None) -> list[str]:
    """The texts of messages, and the names of the functions that they call or may call."""
    contents = [message["content"] for message in messages if isinstance(message.get("content"), str)]
    functions = [call.get("function", call) for message in messages for call in message.get("tool_calls") or ()]
    functions += [tool.get("function", tool) for tool in tools or ()]
    return [*contents, *(one["name"] for one in functions if isinstance(one.get("name"), str))]
