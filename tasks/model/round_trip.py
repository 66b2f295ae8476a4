"""Whether the tokens of a row give its own text back."""

from __future__ import annotations

from typing import Any

from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer, conversation, learned_turns
from tasks.text.rows import Row

BY_TOKENIZER = "text that the tokenizer cannot represent"
WHITE_SPACE = "white space that the chat template removes at the ends of a text"
BY_TEMPLATE = "text that the chat template rewrites"


def changes(renderer: Renderer, row: Row, encoded: Encoded) -> list[str]:
    """Return in what ways the decoded tokens differ from the row's own text; empty if all of it comes back."""
    tokenizer = renderer.tokenizer

    def decoded(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    ids = [*encoded.prompt, *encoded.completion]
    whole = decoded(ids) if renderer.kind != "seq2seq" else f"{decoded(encoded.prompt)}\n{decoded(encoded.completion)}"
    reasons = dict.fromkeys(_reason(text, whole, tokenizer, decoded) for text in _texts(renderer, row))
    return [reason for reason in reasons if reason]


def _reason(text: str, whole: str, tokenizer: Any, decoded: Any) -> str | None:
    if text in whole:
        return None
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if decoded(ids) != text:
        return BY_TOKENIZER
    return WHITE_SPACE if text.strip() in whole else BY_TEMPLATE


def _texts(renderer: Renderer, row: Row) -> list[str]:
    """The row's own texts; of a conversation the contents of its messages up to the last learned one."""
    messages = conversation(row)[0] if renderer.chats else None
    if messages is None:
        return [row["prompt"], row["completion"]]
    shown = messages[: learned_turns(messages)[-1] + 1]
    return [message["content"] for message in shown if isinstance(message.get("content"), str)]
