"""Shorten a row that is too long: its prompt by whole characters, or a conversation by whole turns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer, conversation, learned_turns
from tasks.text.rows import Row
from tasks.tuning.params import TrainedParams

_REPLACEMENT = "\ufffd"
_JOINER = "\u200d"
_MARKS = ("Mn", "Mc", "Me")


def length(encoded: Encoded, renderer: Renderer) -> int:
    """Return the length that ``max_length`` limits: a decoder's sequence, or an encoder-decoder's longer side."""
    sides = (len(encoded.prompt), len(encoded.completion))
    return max(sides) if renderer.kind == "seq2seq" else sum(sides)


def shortened(row: Row, encoded: Encoded, renderer: Renderer, params: TrainedParams) -> Encoded | None:
    """Return the row cut to ``params.max_length``; None if nothing that can be learned would fit.

    A prompt is cut at the side ``params.truncate``. A conversation loses whole turns after its system message, the
    oldest first, whatever the side; its last user turn stays.
    """
    if renderer.chats and row.get("messages"):
        return _with_fewer_turns(row, renderer, params.max_length)
    return _with_shorter_prompt(row, encoded, renderer, params)


def _with_fewer_turns(row: Row, renderer: Renderer, max_length: int) -> Encoded | None:
    for messages in _later_parts(conversation(row)[0] or []):
        encoded = renderer.encode_row(row | {"messages": messages})
        if length(encoded, renderer) <= max_length:
            return encoded
    return None


def _later_parts(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the conversation from its second user turn on, then from the third, and so on, after its system message.

    Each part has a learned turn.
    """
    system = messages[:1] if messages[0]["role"] == "system" else []
    starts = [number for number, message in enumerate(messages) if message["role"] == "user"]
    for start in starts[1:]:
        if learned_turns(messages[start:]):
            yield [*system, *messages[start:]]


def _with_shorter_prompt(row: Row, encoded: Encoded, renderer: Renderer, params: TrainedParams) -> Encoded | None:
    """Cut the row's prompt until it fits; None if nothing of the prompt would remain.

    The text is cut and rendered again, not the tokens, so that the tokens of a chat template stay complete.
    """
    tokens = list(renderer.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"])
    excess = length(encoded, renderer) - params.max_length
    # Cut text may encode to more tokens than it had within the whole, so this can take a few rounds.
    while 0 < excess < len(tokens):
        tokens = tokens[excess:] if params.truncate == "left" else tokens[:-excess]
        text = whole_characters(renderer.tokenizer.decode(tokens), str(params.truncate))
        encoded = renderer.encode(text, row["completion"])
        excess = length(encoded, renderer) - params.max_length
    return encoded if excess <= 0 else None


def whole_characters(cut: str, side: str) -> str:
    """Remove from ``cut``, a text that was cut at ``side``, what is left of the character that the cut split.

    Several tokens may make up one character; a part of them decodes to U+FFFD. An accent or an emoji that is joined to
    the character before it means nothing without it.
    """
    if side == "right":
        return cut.rstrip(_REPLACEMENT).rstrip(_JOINER)
    cut = cut.lstrip(_REPLACEMENT)
    while cut and (unicodedata.category(cut[0]) in _MARKS or cut[0] == _JOINER):
        cut = cut[2:] if cut[0] == _JOINER else cut[1:]
    return cut
