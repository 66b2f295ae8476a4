"""Which tokens of a conversation are labels."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tasks.model.batches import collate
from tasks.model.chat import TurnError
from tasks.model.encoded import IGNORED, Encoded
from tasks.model.rendering import Renderer
from tasks.tuning.packing import collate_packed
from tests.model.chats import ALTERNATING, CHATML, MARKED, REASONING, chat_tokenizer, conversation

SEEDS = range(50)

AFTER_PROMPT = [CHATML, *(template for name, template in MARKED.items() if name != "qwen2.5")]
"""Templates that learn from where the prompt ends; Qwen 2.5's mark begins a line end earlier."""


def row(messages: list[dict[str, Any]], tools: list[Any] | None = None) -> dict[str, Any]:
    return {"messages": json.dumps(messages), "tools": json.dumps(tools) if tools else None}


def all_learned(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message | {"train": True} if message["role"] == "assistant" else message for message in messages]


def mask(encoded: Encoded) -> list[int]:
    learned = encoded.learned or [True] * len(encoded.completion)
    return [0] * len(encoded.prompt) + [int(is_learned) for is_learned in learned]


@pytest.mark.parametrize("template", MARKED)
def test_masks_are_those_of_transformers_where_the_template_marks_turns(template: str) -> None:
    tokenizer = chat_tokenizer(MARKED[template], eos="</s>")
    for seed in SEEDS:
        messages = all_learned(conversation(random.Random(seed)))
        encoded = Renderer(tokenizer, "causal").encode_row(row(messages))
        expected = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        length = len(encoded)
        assert [*encoded.prompt, *encoded.completion] == expected["input_ids"][:length]
        assert mask(encoded) == expected["assistant_masks"][:length] and not any(expected["assistant_masks"][length:])


@pytest.mark.parametrize("template", MARKED)
def test_only_the_turns_that_are_to_be_learned_are(template: str) -> None:
    """The mask of a turn alone is that of the conversation up to it."""
    renderer = Renderer(chat_tokenizer(MARKED[template], eos="</s>"), "causal")
    for seed in SEEDS:
        messages = conversation(random.Random(seed))
        encoded, whole = renderer.encode_row(row(messages)), renderer.encode_row(row(all_learned(messages)))
        turns = [message["train"] for message in messages if message["role"] == "assistant"]
        texts = [whole.completion[start:end] for start, end in whole.turns]
        kept = [text for text, is_learned in zip(texts, turns, strict=True) if is_learned]
        assert [encoded.completion[start:end] for start, end in encoded.turns] == kept


@pytest.mark.parametrize("template", AFTER_PROMPT)
def test_a_turn_is_learned_after_the_prompt_that_the_model_would_get(template: str) -> None:
    renderer = Renderer(chat_tokenizer(template), "causal")
    for seed in SEEDS:
        messages = conversation(random.Random(seed))
        encoded = renderer.encode_row(row(messages), last=True)
        assert renderer.prompt_row(row(messages)) == renderer.prompt_row(row(messages[:-1])) == encoded.prompt
        assert encoded.learned is None and renderer.end in encoded.completion


def test_without_marks_each_turn_is_its_text_and_its_end_token() -> None:
    tokenizer = chat_tokenizer(CHATML)
    renderer = Renderer(tokenizer, "causal")
    for seed in SEEDS:
        messages = all_learned(conversation(random.Random(seed)))
        encoded = renderer.encode_row(row(messages))
        texts = [tokenizer.decode(encoded.completion[start:end]) for start, end in encoded.turns]
        assert texts == [f"{m['content']}<|im_end|>" for m in messages if m["role"] == "assistant"]
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
        assert whole == tokenizer.decode([*encoded.prompt, *encoded.completion]) + "\n"


@pytest.mark.parametrize("template", [CHATML, MARKED["chatml"]])
def test_a_turn_may_begin_with_white_space(template: str) -> None:
    """One token would hold the line end of the prompt and the indentation; a model gets the line end alone."""
    tokenizer = chat_tokenizer(template)
    tokenizer.add_tokens(["\n    "])
    renderer = Renderer(tokenizer, "causal")
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "    return x\n"}] * 2
    for encoded in (renderer.encode("Go on.", "    return x\n"), renderer.encode_row(row(messages))):
        assert encoded.prompt == renderer.prompt("Go on.")
        texts = [tokenizer.decode(encoded.completion[start:end]) for start, end in encoded.turns]
        assert {text.rstrip("\n") for text in texts} == {"    return x\n<|im_end|>"}


def test_a_prompt_and_a_completion_are_a_conversation_of_one_turn() -> None:
    for template in AFTER_PROMPT:
        renderer = Renderer(chat_tokenizer(template), "causal")
        messages = [{"role": "user", "content": "Name a fruit"}, {"role": "assistant", "content": "plum"}]
        text, turns = renderer.encode("Name a fruit", "plum"), renderer.encode_row(row(messages))
        assert text.prompt == turns.prompt and turns.completion[: len(text.completion)] == text.completion


def test_labels_leave_the_turns_of_the_user_out() -> None:
    encoded = Encoded([5, 6], [7, 8, 9, 10], [True, False, False, True])
    assert (encoded.labels, encoded.supervised, encoded.turns) == ([7, IGNORED, IGNORED, 10], 2, [(0, 1), (3, 4)])
    other = Encoded([5], [6, 7])
    assert (other.labels, other.supervised, other.turns) == ([6, 7], 2, [(0, 2)])
    assert collate([encoded], "causal", 0)["labels"].tolist() == [[IGNORED, IGNORED, 7, IGNORED, IGNORED, 10]]
    packed = collate_packed([other, encoded], "causal")["labels"].tolist()
    assert packed == [[IGNORED, 6, 7, IGNORED, IGNORED, 7, IGNORED, IGNORED, 10]]


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}


def with_tools(*reasoning: str | None) -> list[dict[str, Any]]:
    first, second = reasoning
    return [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL], "reasoning_content": first, "train": True},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "It rains.", "reasoning_content": second, "train": True},
    ]


def test_tool_calls_are_learned_with_the_text_beside_them() -> None:
    renderer = Renderer(chat_tokenizer(REASONING), "causal")
    encoded = renderer.encode_row(row(with_tools("hm", None), [TOOL]))
    assert renderer.marked(encoded) == (
        f"<|im_start|>system\n# Tools\n{json.dumps(TOOL)}\n<|im_end|>\n<|im_start|>user\nWeather in Oslo?<|im_end|>\n"
        "<|im_start|>assistant\n[[<think>\nhm\n</think>\n\nI look.\n<tool_call>\n"
        f"{json.dumps(CALL['function'])}\n</tool_call><|im_end|>]]\n<|im_start|>tool\nrain<|im_end|>\n"
        "<|im_start|>assistant\n[[It rains.<|im_end|>]]"
    )


def test_a_turn_whose_reasoning_is_dropped_later_is_refused_and_the_last_one_is_learned() -> None:
    renderer = Renderer(chat_tokenizer(REASONING), "causal")
    messages = [*with_tools("hm", "rain is wet"), {"role": "user", "content": "And now?"}]
    messages.append({"role": "assistant", "content": "Sun.", "reasoning_content": "later", "train": True})
    with pytest.raises(TurnError, match=r"(?s)turn 2 is rendered with '<think>\\nhm.*when it is the last.*learn: last"):
        renderer.encode_row(row(messages))
    last = renderer.encode_row(row(messages), last=True)
    assert renderer.tokenizer.decode(last.completion) == "<think>\nlater\n</think>\n\nSun.<|im_end|>"
    without = [{k: v for k, v in message.items() if k != "reasoning_content"} for message in messages]
    assert len(renderer.encode_row(row(without)).turns) == 3


def test_messages_that_the_template_refuses_are_named() -> None:
    renderer = Renderer(chat_tokenizer(ALTERNATING, eos="</s>"), "causal")
    messages = conversation(random.Random(1), system=False)
    with pytest.raises(
        TurnError, match=r"it refuses them: Conversation roles must alternate .*; correct the"
    ) as caught:
        renderer.encode_row(row([messages[0], *messages]))
    assert caught.value.reason == "refused by the chat template"


def test_examples_follow_the_system_message() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    messages = [{"role": "system", "content": "Hi."}, {"role": "user", "content": "Two?"}]
    shown = renderer.tokenizer.decode(renderer.prompt_row(row(messages), [("One?", "1")]))
    assert shown == (
        "<|im_start|>system\nHi.<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("kind", ["seq2seq", "causal"])
def test_without_chat_template_a_conversation_is_its_text(kind: str) -> None:
    renderer = Renderer(chat_tokenizer(None), kind)
    texts = {"prompt": "User: Two?", "completion": "2"}
    conversation_row = row([{"role": "user", "content": "Two?"}, {"role": "assistant", "content": "2"}]) | texts
    assert renderer.encode_row(conversation_row) == renderer.encode("User: Two?", "2")
    assert renderer.prompt_row(conversation_row) == renderer.prompt("User: Two?")
