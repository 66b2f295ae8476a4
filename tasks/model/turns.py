"""The learned turns of a conversation: where they are in its rendered text, and which tokens they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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


def prefix_turns(
    chat: Chat, messages: Sequence[Message], numbers: Sequence[int], ends: Sequence[str], marks: Marks | None
) -> tuple[str, list[Turn]]:
    """Compare renderings of the beginnings of a conversation: (rendered text, turns ``numbers`` of it).

    Args:
        ends: control tokens that close a turn of the model; marked ones are text of the row.

    Raises:
        TurnError: a turn is rendered otherwise where more follows, or none of ``ends`` closes it.
    """
    end = re.compile((f"(?<!{marks.start})" if marks else "") + f"(?:{'|'.join(map(re.escape, ends))})")
    whole = chat.whole(messages)
    turns = []
    for number in numbers:
        prompt = chat.prompt(messages[:number])
        text = whole if number == len(messages) - 1 else chat.whole(messages[: number + 1])
        closed = end.search(text, len(prompt)) if text.startswith(prompt) else None
        if text.startswith(prompt) and closed is None:
            raise TurnError(
                "a turn without end token",
                f"the chat template must end a completion with the end token {ends[0]!r}; it ends with "
                f"{text[-12:]!r}; use a model whose template does",
            )
        stop = closed.end() if closed else len(prompt)
        _refuse_rewritten(number, text[:stop], whole)
        turns.append(Turn(prompt, [(len(prompt), stop)]))
    return whole, turns


def marked_turns(chat: Chat, messages: Sequence[Message], numbers: Sequence[int]) -> tuple[str, list[Turn]]:
    """As ``prefix_turns``, by the template's own ``{% generation %}``.

    What is learned of a turn is what the template marks, with the end token exactly where the mark holds it.

    Raises:
        TurnError: a turn is rendered otherwise where more follows.
    """
    whole, every = chat.generated(messages)
    turns = []
    for number in numbers:
        before = len(chat.generated(messages[:number])[1]) if number else 0
        text, parts = chat.generated(messages[: number + 1])
        own = parts[before:]
        _refuse_rewritten(number, text[: own[-1][1] if own else len(text)], whole)
        turns.append(Turn(chat.prompt(messages[:number]), every[before : before + len(own)]))
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

    Raises:
        TurnError: the tokens of a prompt alone are not the beginning of the conversation's, or nothing is marked.
    """
    ids = tokenise(tokenizer, whole, marks)
    learned = [False] * len(ids)
    for turn in turns:
        prompt = tokenise(tokenizer, turn.prompt, marks)
        _refuse_other_prefix(tokenizer, prompt, ids)
        for start, stop in turn.parts:
            first = len(prompt) if start == len(turn.prompt) else _tokens_until(tokenizer, whole, start, ids, marks)
            last = _tokens_until(tokenizer, whole, stop, ids, marks, inclusive=True)
            learned[first:last] = [True] * (last - first)
    if True not in learned:
        raise TurnError(
            "no learned turn", "the chat template must mark what a model generates; it marks nothing of this row"
        )
    first, last = learned.index(True), len(learned) - learned[::-1].index(True)
    within = learned[first:last]
    return Encoded(ids[:first], ids[first:last], None if all(within) else within)


def _tokens_until(
    tokenizer: Any, text: str, end: int, ids: list[int], marks: Marks | None, inclusive: bool = False
) -> int:
    """Number of tokens of ``text[:end]``; a token across its end counts with ``inclusive``.

    That is how ``transformers`` reads the marks of a template (``apply_chat_template`` in
    ``tokenization_utils_base.py``, 5.23): a token that the mark cuts is learned.
    """
    before = tokenise(tokenizer, text[:end], marks)
    if ids[: len(before)] == before:
        return len(before)
    if marks is not None:
        raise TurnError(
            "a token across the beginning or end of a turn",
            f"a turn must begin and end between tokens; {text[max(0, end - 20) : end + 20]!r} has a token across",
        )
    encoding = tokenizer(text, add_special_tokens=False)
    token = encoding.char_to_token(end - 1 if inclusive else end)
    return len(ids) if token is None else int(token) + inclusive


def _refuse_other_prefix(tokenizer: Any, prompt: list[int], whole: list[int]) -> None:
    if whole[: len(prompt)] == prompt:
        return
    index = next(
        (i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole))
    )
    raise TurnError(
        "a prompt that is rendered differently alone",
        "the chat template must render a prompt alone as the beginning of the prompt with its completion; "
        f"token {index} is {tokenizer.decode(prompt[index : index + 1])!r} alone and "
        f"{tokenizer.decode(whole[index : index + 1])!r} with the completion; use a model whose template does",
    )
