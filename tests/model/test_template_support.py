"""System messages and tools go through the chat template where it knows them, else they are text of other messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.model.rendering import Renderer
from tasks.model.round_trip import REASONING, UNKNOWN, changes
from tasks.model.template_support import Known
from tests.model.chats import ALTERNATING, CHATML, GEMMA, MARKED, chat_tokenizer
from tests.model.chats import REASONING as QWEN

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
LINE = '{"name": "weather", "arguments": {"city": "Oslo"}}'


def row(content: str | None, system: bool = False, **keys: Any) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}] if system else []
    messages += [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": content, "tool_calls": [CALL], "train": True, **keys},
        {"role": "tool", "content": "rain"},
        {"role": "tool", "content": "cold"},
        {"role": "assistant", "content": "It rains.", "train": True},
    ]
    return {"prompt": "", "completion": "", "messages": json.dumps(messages), "tools": json.dumps([TOOL])}


@pytest.mark.parametrize(
    ("template", "eos", "expected"),
    [
        (QWEN, "<|im_end|>", Known(calls=True, schemas=True, results=True, system=True)),
        (CHATML, "<|im_end|>", Known(calls=False, schemas=False, results=True, system=True)),
        (MARKED["chatml"], "<|im_end|>", Known(calls=False, schemas=False, results=True, system=True)),
        (GEMMA, "</s>", Known(calls=False, schemas=False, results=True, system=False)),
        (ALTERNATING, "</s>", Known(calls=False, schemas=False, results=False, system=False)),
    ],
    ids=["qwen3", "smollm2", "marked", "gemma", "alternating"],
)
def test_probes_show_what_a_template_knows(template: str, eos: str, expected: Known) -> None:
    for with_schemas in (False, True):
        assert Known.by(chat_tokenizer(template, eos=eos), "2024-07-26", with_schemas) == expected


def test_a_template_of_its_own_for_tools_is_taken_for_rows_with_schemas() -> None:
    tokenizer = chat_tokenizer(CHATML)
    tokenizer.chat_template = {"default": CHATML, "tool_use": QWEN}
    renderer = Renderer(tokenizer, "causal")
    with_tools, without = row("I look."), row("I look.") | {"tools": None}
    assert "<tool_call>" in renderer.marked(renderer.encode_row(with_tools))
    assert f"[[I look.\n{LINE}<|im_end|>]]" in renderer.marked(renderer.encode_row(without))


@pytest.mark.parametrize("template", [GEMMA, ALTERNATING])
def test_a_system_message_without_a_role_begins_the_first_user_message(template: str) -> None:
    renderer = Renderer(chat_tokenizer(template, eos="</s>"), "causal")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Oslo?"}]
    plain = {"messages": [*messages, {"role": "assistant", "content": "Rain.", "train": True}]}
    encoded = renderer.encode_row(plain)
    assert renderer.marked(encoded) == (
        "<s><start_of_turn>user\nBe brief.\n\nOslo?<end_of_turn>\n<start_of_turn>model\n[[Rain.<end_of_turn>]]"
    )
    assert changes(renderer, plain, encoded) == [UNKNOWN]
    assert "user\nBe brief.\n\nTools:\n{" in renderer.marked(renderer.encode_row(row("I look.", system=True)))


@pytest.mark.parametrize("content", ["I look.", "", None])
@pytest.mark.parametrize("system", [True, False])
def test_calls_and_schemas_are_text_for_a_template_that_leaves_them_out(content: str | None, system: bool) -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    encoded = renderer.encode_row(row(content, system))
    own = f"{content}\n{LINE}" if content else LINE
    first = f"Be brief.\n\nTools:\n{json.dumps(TOOL)}" if system else f"Tools:\n{json.dumps(TOOL)}"
    assert renderer.marked(encoded) == (
        f"<|im_start|>system\n{first}<|im_end|>\n<|im_start|>user\nWeather in Oslo?<|im_end|>\n"
        f"<|im_start|>assistant\n[[{own}<|im_end|>]]\n<|im_start|>tool\nrain<|im_end|>\n"
        "<|im_start|>tool\ncold<|im_end|>\n<|im_start|>assistant\n[[It rains.<|im_end|>]]"
    )
    assert changes(renderer, row(content, system), encoded) == [UNKNOWN]
    assert renderer.prompt_row(row(content, system)) == renderer.encode_row(row(content, system), last=True).prompt


def test_a_template_without_system_and_tool_roles_gets_both_from_the_user() -> None:
    renderer = Renderer(chat_tokenizer(ALTERNATING, eos="</s>"), "causal")
    encoded = renderer.encode_row(row("I look."))
    assert renderer.marked(encoded) == (
        f"<s><start_of_turn>user\nTools:\n{json.dumps(TOOL)}\n\nWeather in Oslo?<end_of_turn>\n"
        f"<start_of_turn>model\n[[I look.\n{LINE}<end_of_turn>]]\n<start_of_turn>user\nrain\ncold<end_of_turn>\n"
        "<start_of_turn>model\n[[It rains.<end_of_turn>]]"
    )
    assert changes(renderer, row("I look."), encoded) == [UNKNOWN]


def test_a_template_that_knows_tools_gets_them_as_they_are() -> None:
    renderer = Renderer(chat_tokenizer(QWEN), "causal")
    encoded = renderer.encode_row(row("I look."))
    assert "<tool_call>" in renderer.marked(encoded) and changes(renderer, row("I look."), encoded) == []


def test_reasoning_that_no_template_renders_is_counted() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    reasoned = row("I look.", reasoning_content="hm")
    assert changes(renderer, reasoned, renderer.encode_row(reasoned)) == [REASONING, UNKNOWN]
