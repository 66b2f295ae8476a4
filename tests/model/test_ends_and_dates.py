"""The token that ends a turn, and the date that a chat template gets."""

from __future__ import annotations

import pytest

from tasks.core.errors import TunesmithError
from tasks.model.fingerprint import fingerprint, refuse_other_fingerprint
from tasks.model.rendering import Renderer
from tests.model.chats import CHATML, DATED, GEMMA, MARKED, REASONING, chat_tokenizer


@pytest.mark.parametrize(
    ("template", "eos", "end"),
    [
        (GEMMA, "</s>", "<end_of_turn>"),
        (CHATML, "</s>", "<|im_end|>"),  # base Qwen
        (REASONING, "<|im_end|>", "<|im_end|>"),
        (MARKED["llama3"], "</s>", "<|im_end|>"),
        (CHATML.replace("<|im_end|>", "</s>"), "</s>", "</s>"),
        (CHATML.replace("<|im_end|>", ""), "</s>", "</s>"),
        (None, "</s>", "</s>"),
    ],
)
def test_the_token_that_closes_a_turn_is_learned_and_stopped_at(template: str | None, eos: str, end: str) -> None:
    tokenizer = chat_tokenizer(template, eos=eos)
    renderer = Renderer(tokenizer, "causal")
    assert tokenizer.convert_ids_to_tokens(renderer.end) == end
    assert {tokenizer.convert_ids_to_tokens(token) for token in renderer.stops} == {end, eos}
    if template != CHATML.replace("<|im_end|>", ""):
        assert renderer.encode("Name a fruit", "plum").completion[-1] == renderer.end


def test_an_encoder_decoder_ends_with_the_end_token_of_its_tokenizer() -> None:
    renderer = Renderer(chat_tokenizer(GEMMA, eos="</s>"), "seq2seq")
    assert renderer.stops == [1] and renderer.encode("a", "b").completion[-1] == 1


def test_a_template_that_reads_the_clock_gets_a_fixed_date() -> None:
    tokenizer = chat_tokenizer(DATED)
    text = tokenizer.decode(Renderer(tokenizer, "causal").prompt("Name a fruit"))
    assert text.startswith("<s>Now is 26 Jul 2024 00:00:00.\n")
    other = Renderer(tokenizer, "causal", "2025-01-02")
    assert tokenizer.decode(other.encode("a", "b").prompt).startswith("<s>Now is 02 Jan 2025 00:00:00.\n")


def test_the_date_is_part_of_the_fingerprint_of_a_template_that_reads_it() -> None:
    first, second = (Renderer(chat_tokenizer(DATED), "causal", date) for date in ("2024-07-26", "2025-01-02"))
    trained, now = fingerprint(first, 64, []), fingerprint(second, 64, [])
    assert trained["value"] != now["value"]
    with pytest.raises(TunesmithError, match=r"date differs .trained with 2024-07-26, now 2025-01-02"):
        refuse_other_fingerprint(trained["fields"], now["fields"], "model x")
    before = {name: value for name, value in trained["fields"].items() if name != "date"}
    refuse_other_fingerprint(before, now["fields"], "a model of an earlier version, which read the clock")


def test_fingerprints_of_other_models_have_no_new_field() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal", "2025-01-02")
    fields = fingerprint(renderer, 64, [])["fields"]
    assert set(fields) == {
        *("chat_template", "tokenizer", "special_tokens", "max_length", "truncate", "masking", "kind", "templates")
    }


def test_a_model_that_was_trained_on_another_end_is_refused() -> None:
    fields = fingerprint(Renderer(chat_tokenizer(GEMMA, eos="</s>"), "causal"), 64, [])["fields"]
    assert fields["end"] == "<end_of_turn>"
    with pytest.raises(TunesmithError, match=r"end differs .trained with None, now <end_of_turn>"):
        refuse_other_fingerprint({k: v for k, v in fields.items() if k != "end"}, fields, "model x")
    closes = fingerprint(Renderer(chat_tokenizer(None, eos="</s>", closes=True), "causal"), 64, [])["fields"]
    with pytest.raises(TunesmithError, match="open_prompt differs"):
        refuse_other_fingerprint({k: v for k, v in closes.items() if k != "open_prompt"}, closes, "model x")


def test_a_model_of_conversations_generates_for_other_rows() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    row = {"source": "s", "template_id": "t", "template": "x", "messages": "[]", "tools": None}
    chat = row | {"messages": '[{"role": "user", "content": "a"}]'}
    trained, now = fingerprint(renderer, 64, [chat]), fingerprint(renderer, 64, [row | {"messages": None}])
    assert trained["value"] != now["value"]
    refuse_other_fingerprint(trained["fields"], now["fields"], "model x")
    refuse_other_fingerprint(now["fields"], trained["fields"], "model x")
