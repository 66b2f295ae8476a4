"""The learned turns of a conversation: where they are in its rendered text, and which tokens they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tasks.model.chat import Chat, Message, TurnError
from tasks.model.control_tokens import Marks, tokenise
from tasks.model.encoded import Encoded

REWRITTEN = "the chat template changes an earlier turn"


@dataclass(frozen=True)
class Turn:
    """A learned turn.

    Attributes:
        prompt: the text that the model would generate it after.
        parts: start and end, in the rendered conversation, of what is learned; with the token that ends the turn.
    """

    prompt: str
    parts: list[tuple[int, int]]


@dataclass(frozen=True)
class Closing:
    """The control tokens that close a turn of the model, where the template wrote them; marked ones are text."""

    ends: tuple[str, ...]
    marks: Marks | None

    @property
    def pattern(self) -> re.Pattern[str]:
        ends = "|".join(map(re.escape, self.ends))
        return re.compile(f"(?<!{self.marks.start})(?:{ends})" if self.marks else ends)


def prefix_turns(
    chat: Chat, messages: Sequence[Message], numbers: Sequence[int], closing: Closing
) -> tuple[str, list[Turn]]:
    """Compare renderings of the beginnings of a conversation: (rendered text, turns ``numbers`` of it).

    Args:
        closing: what closes a turn of the model.

    Raises:
        TurnError: a turn is rendered otherwise where more follows, or nothing closes it.
    """
    whole = chat.whole(messages)
    turns = []
    for number in numbers:
        prompt = chat.prompt(messages[:number])
        text = whole if number == len(messages) - 1 else chat.whole(messages[: number + 1])
        closed = closing.pattern.search(text, len(prompt)) if text.startswith(prompt) else None
        if text.startswith(prompt) and closed is None:
            names = " or ".join(map(repr, closing.ends))
            raise TurnError(
                "a turn without end token",
                f"the chat template must end a completion with the end token {names}; it ends with "
                f"{text[-12:]!r}; use a model whose template does",
            )
        stop = closed.end() if closed else len(prompt)
        _refuse_rewritten(number, text[:stop], whole)
        turns.append(Turn(prompt, [(len(prompt), stop)]))
    return whole, turns


def marked_turns(
    chat: Chat, messages: Sequence[Message], numbers: Sequence[int], closing: Closing
) -> tuple[str, list[Turn]]:
    """As ``prefix_turns``, by the template's own ``{% generation %}``.

    What is learned of a turn is what the template marks, with the end token exactly where the mark holds it.

    Raises:
        TurnError: a turn is rendered otherwise where more follows.
    """
    whole, every = chat.generated(messages)
    turns = []
    for number in numbers:
        before = len(chat.generated(messages[:number])[1]) if number else 0
        last = number == len(messages) - 1
        text, parts = (whole, every) if last else chat.generated(messages[: number + 1])
        own, kept = parts[before:], list[tuple[int, int]]()
        for part, other in zip(own, every[before:], strict=False):
            if part != other or not whole.startswith(text[: part[1]]):
                break
            kept.append(part)
        # Phi-3 marks another end token behind the last turn; the turn itself is closed before it.
        if len(kept) < len(own) and not any(closing.pattern.search(text, *part) for part in kept):
            _refuse_rewritten(number, text[: own[len(kept)][1]], whole)
        turns.append(Turn(chat.prompt(messages[:number]), kept))
    return whole, turns


def _refuse_rewritten(number: int, text: str, whole: str) -> None:
    """Raise if the conversation up to a turn is not the beginning of the whole conversation."""
    if whole.startswith(text):
        return
    at = next((i for i, (a, b) in enumerate(zip(text, whole, strict=False)) if a != b), min(len(text), len(whole)))
    raise TurnError(
        REWRITTEN,
        f"the chat template must render a learned turn alike whatever follows it; turn {number + 1} is rendered with "
        f"{text[at : at + 40]!r} when it is the last, and with {whole[at : at + 40]!r} when more follows; learn only "
        "the last turn (`learn: last` in params/sources.yaml), or use a model whose template keeps earlier turns",
    )


def labelled(tokenizer: Any, whole: str, turns: Sequence[Turn], marks: Marks | None) -> Encoded:
    """Tokenise a rendered conversation; the tokens of the learned parts of ``turns`` are labels.

    A turn begins and ends between tokens. Where one token would reach across, as a line end with the indentation after
    it, the text is cut at the boundary, since the model generates a turn after the tokens of its prompt alone.

    Raises:
        TurnError: a prompt alone is not the beginning of the conversation, or nothing is marked.
    """
    for turn in turns:
        if not whole.startswith(turn.prompt):
            _refuse_other_prefix(tokenizer, tokenise(tokenizer, turn.prompt, marks), tokenise(tokenizer, whole, marks))
    cuts: list[int] = []

    def tokens(end: int) -> list[int]:
        bounds = [0, *(cut for cut in cuts if cut < end), end]
        pieces = [(whole[start:stop], start == 0) for start, stop in pairwise(bounds)]
        return [token for piece, first in pieces for token in tokenise(tokenizer, piece, marks, first)]

    ids, count = tokens(len(whole)), {}
    for bound in sorted({bound for turn in turns for part in turn.parts for bound in (len(turn.prompt), *part)}):
        before = tokens(bound)
        if ids[: len(before)] != before:
            cuts.append(bound)
            ids = tokens(len(whole))
        count[bound] = len(before)
    learned = [False] * len(ids)
    for start, stop in (part for turn in turns for part in turn.parts):
        learned[count[start] : count[stop]] = [True] * (count[stop] - count[start])
    if True not in learned:
        raise TurnError(
            "no learned turn", "the chat template must mark what a model generates; it marks nothing of this row"
        )
    first, last = learned.index(True), len(learned) - learned[::-1].index(True)
    within = learned[first:last]
    return Encoded(ids[:first], ids[first:last], None if all(within) else within)


def _refuse_other_prefix(tokenizer: Any, prompt: list[int], whole: list[int]) -> None:
    index = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole))
    )
    raise TurnError(
        "a prompt that is rendered differently alone",
        "the chat template must render a prompt alone as the beginning of the prompt with its completion; "
        f"token {index} is {tokenizer.decode(prompt[index : index + 1])!r} alone and "
        f"{tokenizer.decode(whole[index : index + 1])!r} with the completion; use a model whose template does",
    )
