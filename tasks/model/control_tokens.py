"""Control tokens in the text of a row: they become plain text, so that data cannot close a turn or open a role.

A chat template writes control tokens of its own into the same text. So the row's are put between two marks before the
template renders, and the rendered text is cut at the marks: text between them is tokenised as plain text.
``transformers`` does the same (``sanitize_control_tokens`` in ``utils/chat_template_utils.py``, 5.23), but not with a
mask.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.core.errors import TunesmithError

_PRIVATE_USE = range(0xE000, 0xF8FF)


@dataclass(frozen=True)
class Marks:
    """Two characters that enclose a control token of the row; the row itself has neither."""

    start: str
    end: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A marked control token (the one group), or a mark alone: a template may cut text between two marks.

        ``tojson`` of some templates escapes them.
        """
        start, end = (f"(?:{re.escape(mark)}|{re.escape(json.dumps(mark)[1:-1])})" for mark in (self.start, self.end))
        return re.compile(f"{start}(.*?){end}|{start}|{end}", re.DOTALL)

    def removed(self, text: str) -> str:
        """``text`` without marks."""
        return self.pattern.sub(lambda match: match[1] or "", text)


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The special tokens of a tokenizer, the longest first.

    Other added tokens, such as ``<think>``, are no control tokens: data may well hold them.
    """
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return tuple(sorted({*added, *tokenizer.all_special_tokens}, key=lambda token: (-len(token), token)))


def marked(value: Any, tokens: tuple[str, ...]) -> tuple[Any, Marks | None]:
    """Mark the control tokens in all strings of ``value`` (a string, or lists and objects with strings).

    Returns:
        ``value`` itself and None if it holds no control token.
    """
    own = "\0".join(_strings(value))
    if not any(token in own for token in tokens):
        return value, None
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in own)
    marks = Marks(next(free), next(free))
    pattern = re.compile("|".join(map(re.escape, tokens)))
    return _replaced(value, pattern, f"{marks.start}\\g<0>{marks.end}"), marks


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _strings(part)]
    return [text for item in value for text in _strings(item)] if isinstance(value, list) else []


def _replaced(value: Any, pattern: re.Pattern[str], by: str) -> Any:
    if isinstance(value, str):
        return pattern.sub(by, value)
    if isinstance(value, dict):
        return {pattern.sub(by, key): _replaced(item, pattern, by) for key, item in value.items()}
    return [_replaced(item, pattern, by) for item in value] if isinstance(value, list) else value


def tokenise(tokenizer: Any, text: str, marks: Marks | None, first: bool = True) -> list[int]:
    """Tokens of a text, without the tokens that the tokenizer puts at its ends; marked control tokens as text.

    Args:
        first: whether the text begins the sequence; else it follows other text.

    Raises:
        TunesmithError: the tokenizer makes a control token of plain text too.
    """
    if marks is None and first:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    ids: list[int] = []
    for number, piece in enumerate(marks.pattern.split(text) if marks else [text]):
        if piece:
            ids += _piece(tokenizer, piece, first=first and number == 0, plain=number % 2 == 1)
    return ids


def _piece(tokenizer: Any, piece: str, first: bool, plain: bool) -> list[int]:
    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain)["input_ids"])

    # SentencePiece puts a space before a text; behind a line end it does not.
    line_end = [] if first else ids("\n")
    tokens = ids(piece) if first else ids("\n" + piece)
    tokens = tokens[len(line_end) :] if tokens[: len(line_end)] == line_end else ids(piece)
    if plain and tokenizer.convert_tokens_to_ids(piece) in tokens:
        raise TunesmithError(
            f"control tokens in data must become plain text; the tokenizer makes {piece!r} of its characters again; "
            "remove it from the row"
        )
    return tokens
