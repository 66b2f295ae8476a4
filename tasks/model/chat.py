"""Conversations through a model's own chat template, with a fixed date."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from tasks.core.errors import TunesmithError

CHAT_DATE = "2024-07-26"
"""The date that templates get if ``chat_date`` sets none: the one that Llama 3's template takes without a clock."""

Message = dict[str, Any]

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_CLOCK = "strftime_now"


class TurnError(TunesmithError):
    """A turn that the chat template does not render as it would when the model generates it.

    Attributes:
        reason: in a few words; the label contract counts rows by it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Chat:
    """The chat template of a tokenizer.

    Attributes:
        date: date (YYYY-MM-DD) that a template gets when it reads the clock.
        tools: tool schemas of the conversation.
    """

    tokenizer: Any
    date: str
    tools: list[Any] | None = None

    @cached_property
    def template(self) -> str:
        """The text of the template; a tokenizer may have one of its own for conversations with tools."""
        return str(self.tokenizer.get_chat_template(tools=self.tools))

    @property
    def marks_turns(self) -> bool:
        """Whether the template marks what the model generates with ``{% generation %}``."""
        return bool(_GENERATION.search(self.template))

    @property
    def dated(self) -> bool:
        """Whether the template reads the clock."""
        return _CLOCK in self.template

    def prompt(self, messages: Sequence[Message]) -> str:
        """Render messages up to where the model generates."""
        return str(self._rendered(messages, add_generation_prompt=True))

    def whole(self, messages: Sequence[Message]) -> str:
        """Render messages, the last of which is the model's."""
        return str(self._rendered(messages, add_generation_prompt=False))

    def _rendered(self, messages: Sequence[Message], add_generation_prompt: bool) -> Any:
        self._fix_date()
        with _refusals():
            return self.tokenizer.apply_chat_template(
                list(messages), tools=self.tools, tokenize=False, add_generation_prompt=add_generation_prompt
            )

    def generated(self, messages: Sequence[Message]) -> tuple[str, list[tuple[int, int]]]:
        """Render messages; return the text, and start and end of each part within ``{% generation %}``."""
        from transformers.utils.chat_template_utils import render_jinja_template

        self._fix_date()
        with _refusals():
            rendered: Any = render_jinja_template(
                conversations=[[{k: v for k, v in message.items() if v is not None} for message in messages]],
                tools=self.tools,
                chat_template=self.template,
                return_assistant_tokens_mask=True,
                **self.tokenizer.special_tokens_map,
            )
        (text,), (parts,) = rendered
        return text, parts

    def _fix_date(self) -> None:
        """Let ``strftime_now`` of the template give ``date``.

        It is a global of the compiled template. ``apply_chat_template`` passes no function on to a template.
        """
        from transformers.utils.chat_template_utils import _compile_jinja_template

        if self.dated:
            _compile_jinja_template(self.template).globals[_CLOCK] = datetime.fromisoformat(self.date).strftime


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what a template raises into an error of the row."""
    from jinja2.exceptions import TemplateError

    try:
        yield
    except (TemplateError, TypeError) as error:
        raise TurnError(
            "refused by the chat template",
            f"the chat template must render the messages; it refuses them: {error}; correct the roles or their "
            "order, or use a model whose template takes them",
        ) from None
