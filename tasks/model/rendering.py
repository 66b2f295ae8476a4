"""Render rows to tokens, identically in training, evaluation and prediction."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tasks.model.chat import CHAT_DATE, Chat, Message, TurnError
from tasks.model.control_tokens import Marks, control_tokens, marked, tokenise
from tasks.model.encoded import Encoded
from tasks.model.template_support import Known, may_be_unknown
from tasks.model.turns import Closing, labelled, marked_turns, prefix_turns
from tasks.text.rows import Row

PROBE: list[Message] = [{"role": "user", "content": "Are you here?"}, {"role": "assistant", "content": "Yes, I am."}]
"""A conversation that shows what a chat template writes around turns."""


@dataclass(frozen=True)
class Renderer:
    """Renders rows for one tokenizer.

    A model with a chat template gets the prompt as a user message, and a conversation as its messages. Others get the
    prompt with a line end; encoder-decoder models get it in the encoder and the completion in the decoder. Examples
    come first: as turns of the chat, or as text with an empty line after each.

    Control tokens in the text of a row are plain text (``tasks.model.control_tokens``).

    Attributes:
        date: date (YYYY-MM-DD) that a chat template gets when it reads the clock.
    """

    tokenizer: Any
    kind: str
    date: str = CHAT_DATE

    @property
    def chats(self) -> bool:
        """Whether rows go through a chat template."""
        return self.kind != "seq2seq" and bool(self.tokenizer.chat_template)

    @property
    def dated(self) -> bool:
        """Whether the chat template reads the clock."""
        return self.chats and Chat(self.tokenizer, self.date).dated

    @cached_property
    def end(self) -> int:
        """The token that closes a turn of the model in the chat template; else the tokenizer's end token."""
        tokenizer = self.tokenizer
        if not self.chats:
            return int(tokenizer.eos_token_id)
        try:
            text = Chat(tokenizer, self.date).whole(PROBE)
        except TurnError:
            return int(tokenizer.eos_token_id)
        _, _, after = text.rpartition(PROBE[-1]["content"])
        closing = re.search("|".join(map(re.escape, control_tokens(tokenizer))), after)
        return int(tokenizer.convert_tokens_to_ids(closing[0]) if closing else tokenizer.eos_token_id)

    @property
    def stops(self) -> list[int]:
        """The tokens at which generation stops: the tokenizer's end token and the one that closes a turn."""
        return sorted({int(self.tokenizer.eos_token_id), self.end})

    @property
    def opens_prompt(self) -> bool:
        """Whether the tokenizer closes every text, so that the end of a prompt must be opened."""
        return self.kind != "seq2seq" and not self.chats and bool(self._around[1])

    def prompt(self, text: str, examples: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Return the tokens before the completion; ``examples`` are (prompt, completion) in their order."""
        if self.chats:
            return self._chat_prompt([{"role": "user", "content": text}], None, examples)
        before = "".join(f"{prompt}\n{completion}\n\n" for prompt, completion in examples)
        return self.text(before + text + ("" if self.kind == "seq2seq" else "\n"))

    def text(self, text: str) -> list[int]:
        """Return the tokens of a bare text that a model reads; for a decoder, it is open at its end."""
        (text,), marks = marked([text], self._control_tokens)
        before, after = self._around
        ids = [*before, *tokenise(self.tokenizer, text, marks), *after] if marks else self.tokenizer(text)["input_ids"]
        return list(ids[: len(ids) - len(after)] if self.kind != "seq2seq" else ids)

    def encode(self, text: str, completion: str) -> Encoded:
        """Return the tokens of a prompt and its completion.

        Raises:
            TunesmithError: the chat template renders the prompt differently if a completion follows, so that the mask
                would be wrong; or it ends a completion without the end token, so that generation would not stop.
        """
        if self.chats:
            messages = [{"role": "user", "content": text}, {"role": "assistant", "content": completion}]
            return self._encode(messages, None, [1], by_marks=False)
        prompt = self.prompt(text)
        (completion,), marks = marked([completion], self._control_tokens)
        return Encoded(prompt, [*self._target(completion, marks), self.end])

    def prompt_row(self, row: Row, examples: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Return the tokens of a row before its completion, the last turn of the model.

        Messages that end with another turn are the prompt as they are.

        Args:
            row: a row with ``prompt``, or with ``messages`` (a list or its JSON text) and perhaps ``tools``.
            examples: as for ``prompt``; in a conversation they follow its system message.
        """
        messages, tools = self.conversation(row)
        if messages is None:
            return self.prompt(row["prompt"], examples)
        if messages[-1]["role"] == "assistant":
            messages = messages[:-1]
        return self._chat_prompt(messages, tools, examples)

    def encode_row(self, row: Row, last: bool = False) -> Encoded:
        """Return the tokens of a row; in a conversation, those assistant messages are learned whose ``train`` is true.

        Args:
            row: as for ``prompt_row``, with a completion.
            last: learn the last turn alone, as evaluation scores it.

        Raises:
            TunesmithError: as ``encode``.
            TurnError: the chat template refuses the messages or changes a learned turn where more follows.
        """
        messages, tools = self.conversation(row)
        if messages is None:
            return self.encode(row["prompt"], row["completion"])
        learned = learned_turns(messages)
        if last:
            learned = [number for number, message in enumerate(messages) if message["role"] == "assistant"][-1:]
        if not learned:
            raise TurnError("no learned turn", "a conversation must have a learned turn; it has none; mark one")
        return self._encode(messages[: learned[-1] + 1], tools, learned, by_marks=True)

    def conversation(self, row: Row) -> tuple[list[Message] | None, list[Any] | None]:
        """What the chat template gets of a row: messages and tools; None where the row is rendered as text."""
        messages, tools = conversation(row)
        if not self.chats or messages is None:
            return None, None
        if not may_be_unknown(messages, tools):
            return messages, tools
        return self._known[bool(tools)].as_text(messages, tools)

    def marked(self, encoded: Encoded) -> str:
        """Decode a row with its special tokens; supervised text is in ``[[…]]``."""
        text = self.tokenizer.decode(encoded.prompt) + ("\n" if self.kind == "seq2seq" else "")
        position = 0
        for start, end in encoded.turns:
            between, own = encoded.completion[position:start], encoded.completion[start:end]
            text += f"{self.tokenizer.decode(between) if between else ''}[[{self.tokenizer.decode(own)}]]"
            position = end
        return text

    @cached_property
    def _known(self) -> dict[bool, Known]:
        """What the chat template renders, for rows with and without schemas of tools."""
        return {schemas: Known.by(self.tokenizer, self.date, schemas) for schemas in (False, True)}

    @cached_property
    def _control_tokens(self) -> tuple[str, ...]:
        return control_tokens(self.tokenizer)

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The tokens that the tokenizer itself puts before and after a text."""
        bare = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        whole = list(self.tokenizer("a")["input_ids"])
        start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        return whole[:start], whole[start + len(bare) :]

    def _target(self, completion: str, marks: Marks | None) -> list[int]:
        if marks:
            return tokenise(self.tokenizer, completion, marks)
        return list(self.tokenizer(text_target=completion, add_special_tokens=False)["input_ids"])

    def _chat(self, messages: list[Message], tools: list[Any] | None) -> tuple[Chat, list[Message], Marks | None]:
        """The chat template and the messages with marked control tokens, without what is not for the template."""
        plain = [{key: value for key, value in one.items() if key not in ("train", "weight")} for one in messages]
        (plain, tools), marks = marked([plain, tools], self._control_tokens)
        return Chat(self.tokenizer, self.date, tools), plain, marks

    def _chat_prompt(
        self, messages: list[Message], tools: list[Any] | None, examples: Sequence[tuple[str, str]]
    ) -> list[int]:
        system = 1 if messages[0]["role"] == "system" else 0
        turns = [turn for example in examples for turn in zip(("user", "assistant"), example, strict=True)]
        shown = [{"role": role, "content": content} for role, content in turns]
        chat, messages, marks = self._chat([*messages[:system], *shown, *messages[system:]], tools)
        return tokenise(self.tokenizer, chat.prompt(messages), marks)

    def _encode(self, messages: list[Message], tools: list[Any] | None, numbers: list[int], by_marks: bool) -> Encoded:
        chat, messages, marks = self._chat(messages, tools)
        closing = Closing(tuple(str(self.tokenizer.convert_ids_to_tokens(stop)) for stop in self.stops), marks)
        turns_of = marked_turns if by_marks and chat.marks_turns else prefix_turns
        whole, turns = turns_of(chat, messages, numbers, closing)
        return labelled(self.tokenizer, whole, turns, marks)


def learned_turns(messages: Sequence[Message]) -> list[int]:
    """The numbers of the assistant messages that are learned: those whose ``train`` is true or missing."""
    return [i for i, message in enumerate(messages) if message["role"] == "assistant" and message.get("train", True)]


def conversation(row: Row) -> tuple[list[Message] | None, list[Any] | None]:
    """``messages`` and ``tools`` of a row, which are JSON text in tables."""
    messages, tools = (
        json.loads(value) if isinstance(value, str) else value for value in (row.get("messages"), row.get("tools"))
    )
    return messages or None, tools or None
