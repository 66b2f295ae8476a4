"""Formats of rows in which data sets come: their columns, and the template set that serves each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flows.commands.value_kinds import CONVERSATIONS, Kind

_TEXTS: tuple[Kind, ...] = ("text", "texts", "number")
_PROMPTS: tuple[Kind, ...] = ("text", "number")
_SYSTEM = ("system", "system prompt")


@dataclass(frozen=True)
class Form:
    """One form of a format.

    Attributes:
        format: its name, as `--format` takes it. Several forms may share one; the first that fits is taken.
        set: the template set that serves it.
        columns: column of the set → names under which data sets have it; empty for a conversation, whose values tell.
        kinds: column of the set → kinds that its values may have.
        optional: as ``columns``, for columns that the data or some rows may lack.
        values: column of the set → its text in all rows, if the data lacks the optional column.
    """

    format: str
    set: str
    columns: Mapping[str, Sequence[str]]
    kinds: Mapping[str, Sequence[Kind]]
    optional: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


_CHAT = {"tools": ("tools", "functions"), "system": _SYSTEM}

FORMS: tuple[Form, ...] = (
    Form("messages", "chat", {"messages": ()}, {"messages": ("openai",)}, _CHAT),
    Form("sharegpt", "chat", {"messages": ()}, {"messages": ("sharegpt",)}, _CHAT),
    Form(
        "preference",
        "preference",
        {"prompt": ("prompt", "question", "instruction", "input", "query"), "chosen": ("chosen",)},
        {"prompt": (*_PROMPTS, *CONVERSATIONS), "chosen": ("text", *CONVERSATIONS)},
        {"rejected": ("rejected",), "system": _SYSTEM},
    ),
    Form(
        "preference",
        "preference",
        {"chosen": ("chosen",)},
        {"chosen": CONVERSATIONS},
        {"rejected": ("rejected",), "system": _SYSTEM},
    ),
    Form(
        "alpaca",
        "instruction",
        {"instruction": ("instruction",), "output": ("output", "response", "completion", "answer")},
        {"instruction": _PROMPTS, "output": _TEXTS},
        {"input": ("input", "context")},
        {"input": ""},
    ),
    Form(
        "prompt_completion",
        "preference",
        {"prompt": ("prompt",), "chosen": ("completion", "response")},
        {"prompt": CONVERSATIONS, "chosen": CONVERSATIONS},
        {"system": _SYSTEM},
    ),
    Form(
        "prompt_completion",
        "prompt_completion",
        {"prompt": ("prompt",), "completion": ("completion", "response")},
        {"prompt": _PROMPTS, "completion": _TEXTS},
    ),
    Form(
        "input_output",
        "prompt_completion",
        {"prompt": ("input",), "completion": ("output", "target")},
        {"prompt": _PROMPTS, "completion": _TEXTS},
    ),
    Form(
        "question_answer",
        "instruction",
        {
            "instruction": ("question", "query"),
            "input": ("context", "passage"),
            "output": ("answer", "response"),
        },
        {"instruction": _PROMPTS, "input": _TEXTS, "output": _TEXTS},
    ),
    Form(
        "question_answer",
        "prompt_completion",
        {"prompt": ("question", "query"), "completion": ("answer", "response")},
        {"prompt": _PROMPTS, "completion": _TEXTS},
    ),
)

FORMATS = {
    "messages": "OpenAI's `messages`: a list of messages with `role` and `content`",
    "sharegpt": "ShareGPT's `conversations`: a list of turns with `from` and `value`",
    "preference": "pairs: `chosen` and `rejected`, mostly with a `prompt`; `chosen` is learned",
    "alpaca": "`instruction`, `output` and perhaps `input`",
    "prompt_completion": "`prompt` and `completion` (or `response`): both texts, or both lists of messages",
    "input_output": "`input` and `output`",
    "question_answer": "`question` and `answer`, perhaps with a `context`",
}
"""Format → what its rows hold."""

CHAT_NAMES = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
"""Usual names of a column of conversations, the most usual first; they decide between several such columns."""
