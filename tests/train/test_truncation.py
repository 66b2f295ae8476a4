"""Rows that are too long: prompts lose whole characters, conversations lose whole turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tasks.model.rendering import Renderer
from tasks.train.contract import encode_rows
from tasks.train.truncation import whole_characters
from tests.model.chats import CHATML, chat_tokenizer
from tests.train.test_contract import chats, parameters
from tests.train.training_workspace import rows

TEXTS = ["你好，世界。散步吧。" * 12, "🙂👍🏽👩‍👩‍👧 " * 12, "naïve e\u0301e\u0301 " * 20, "Ünïcödé — “quotes” " * 9]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_cut_never_splits_a_character(tiny_llama: Path, side: str, text: str) -> None:
    renderer = Renderer(AutoTokenizer.from_pretrained(tiny_llama), "causal")
    for limit in range(40, 60):
        encoded, contract = encode_rows(
            rows([(text, "ok")]), renderer, parameters(truncate=side, max_length=limit), "train"
        )
        shown = (
            renderer.tokenizer.decode(encoded[0].prompt).removeprefix("<|user|>").removesuffix("<|end|>\n<|assistant|>")
        )
        assert contract["truncated"]["rows"] == 1 and shown and "\ufffd" not in shown
        assert text.endswith(shown) if side == "left" else text.startswith(shown)


def test_what_is_joined_to_a_lost_character_goes_with_it() -> None:
    assert whole_characters("\ufffd\ufffd散步", "left") == "散步"
    assert whole_characters("\u0301e\u0301", "left") == "e\u0301"
    assert whole_characters("\u200d👧 x", "left") == " x"
    assert whole_characters("x 👩\u200d\ufffd", "right") == "x 👩"


def turns(count: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Be kind."}]
    for number in range(count):
        messages.append({"role": "user", "content": f"question {number}"})
        messages.append({"role": "assistant", "content": f"answer {number}", "train": True})
    return messages


def test_a_long_conversation_loses_its_first_turns_and_keeps_its_system_message() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    whole = len(renderer.encode_row({"messages": turns(9)}))
    for limit in range(len(renderer.encode_row({"messages": turns(1)})), whole):
        encoded, contract = encode_rows(
            chats(turns(9)), renderer, parameters(truncate="left", max_length=limit), "train"
        )
        text = renderer.tokenizer.decode([*encoded[0].prompt, *encoded[0].completion])
        assert text.startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n")
        assert text.endswith("<|im_start|>assistant\nanswer 8<|im_end|>") and len(encoded[0]) <= limit < whole
        kept = text.count("question")
        assert text.count("answer") == len(encoded[0].turns) == kept < 9
        assert contract["truncated"] == {"side": "left", "rows": 1}


def test_a_conversation_whose_last_turn_does_not_fit_is_dropped() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    long = [*turns(1)[:-1], {"role": "assistant", "content": "yes", "train": True}]
    long[1]["content"] = "fruit " * 100
    settings = parameters(truncate="left", max_length=80, max_dropped=0.5)
    _, contract = encode_rows(chats(turns(1), long), renderer, settings, "train")
    assert (contract["rows"], contract["dropped"]) == (1, {"longer than max_length": 1})
    _, contract = encode_rows(chats(turns(1), turns(9)), renderer, parameters(max_length=80, max_dropped=0.5), "train")
    assert contract["dropped"] == {"longer than max_length": 1}


def test_a_conversation_without_a_learned_turn_that_fits_is_dropped() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    messages = [message | {"train": False} if message["role"] == "assistant" else message for message in turns(3)]
    messages[4]["train"] = True  # the second of three turns
    length = len(renderer.encode_row({"messages": messages[1:]}))
    settings = parameters(truncate="left", max_length=length, max_dropped=0.5)
    encoded, _ = encode_rows(chats(messages, turns(1)), renderer, settings, "train")
    assert [renderer.tokenizer.decode(one.completion) for one in encoded] == [
        "answer 1<|im_end|>",
        "answer 0<|im_end|>",
    ]
    messages[4]["train"], messages[2]["train"] = False, True
    messages[1]["content"] = "fruit " * 100
    _, contract = encode_rows(chats(messages, turns(1)), renderer, settings, "train")
    assert contract["dropped"] == {"longer than max_length": 1}
