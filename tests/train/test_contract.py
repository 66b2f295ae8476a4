"""What is counted and refused before the first training step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tasks.core.errors import TunesmithError
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.train.contract import changed, encode_rows
from tasks.tuning.params import TrainedParams, parse_trained
from tests.model.chats import CHATML, GEMMA, MARKED, REASONING, chat_tokenizer
from tests.train.training_workspace import PARAMS, rows


def parameters(**changes: Any) -> TrainedParams:
    return parse_trained(PARAMS | changes, "train.yaml")


@pytest.fixture
def renderer(tiny_llama: Path) -> Renderer:
    return Renderer(AutoTokenizer.from_pretrained(tiny_llama), "causal")


def size(renderer: Renderer, text: str) -> int:
    return len(renderer.tokenizer(text, add_special_tokens=False)["input_ids"])


def spread(two: list[int]) -> dict[str, float]:
    """Of two values; the 95th percentile lies at 95 % of the way from the one to the other."""
    low, high = sorted(two)
    middle = (low + high) / 2
    return {"min": low, "mean": middle, "median": middle, "p95": pytest.approx(low + 0.95 * (high - low)), "max": high}


def test_counts_and_sample(renderer: Renderer) -> None:
    pairs = [("my lamp", "is new"), ("the parcel is late", "ok")]
    encoded, contract = encode_rows(rows(pairs), renderer, parameters(), "train")
    # <|user|> … <|end|> line end <|assistant|> … <|end|>
    lengths = [4 + size(renderer, prompt) + size(renderer, completion) + 1 for prompt, completion in pairs]
    completions = [size(renderer, completion) + 1 for _, completion in pairs]
    assert contract == {
        "rows": 2,
        "dropped": {},
        "truncated": {"side": None, "rows": 0},
        "tokens": sum(lengths),
        "supervised_tokens": sum(completions),
        "end_token_rows": 2,
        "prompt_tokens": spread([all_ - own for all_, own in zip(lengths, completions, strict=True)]),
        "completion_tokens": spread(completions),
        "learned_turns": spread([1, 1]),
        "padding_share": 1 - sum(lengths) / (2 * max(lengths)),
        "changed": {},
        "samples": {"summary": "<|user|>my lamp<|end|>\n<|assistant|>[[is new<|end|>]]"},
    }
    assert [len(row) for row in encoded] == lengths


def test_rows_that_are_too_long_are_dropped_and_counted(renderer: Renderer) -> None:
    data = rows([("lamp " * 200, "ok"), ("lamp", "ok"), ("late", "ok"), ("new", "ok")])
    encoded, contract = encode_rows(data, renderer, parameters(max_dropped=0.25), "train")
    assert (len(encoded), contract["rows"], contract["dropped"]) == (3, 3, {"longer than max_length": 1})
    assert contract["samples"]["summary"].startswith("<|user|>lamp<|end|>")


def test_one_sample_a_task(renderer: Renderer) -> None:
    data = rows([("lamp", "ok"), ("late", "new"), ("new", "lamp")])
    data[2]["task"] = "other"
    _, contract = encode_rows(data, renderer, parameters(), "train")
    assert contract["samples"] == {
        "summary": "<|user|>lamp<|end|>\n<|assistant|>[[ok<|end|>]]",
        "other": "<|user|>new<|end|>\n<|assistant|>[[lamp<|end|>]]",
    }


@pytest.mark.parametrize(("side", "begins"), [("left", "<|user|> late late"), ("right", "<|user|>lamp lamp")])
def test_a_long_prompt_is_cut_on_the_requested_side(renderer: Renderer, side: str, begins: str) -> None:
    data = rows([("lamp " * 200 + "late " * 200, "ok"), ("lamp", "ok")])
    encoded, contract = encode_rows(data, renderer, parameters(truncate=side, max_length=64, max_dropped=0.0), "train")
    assert (contract["rows"], contract["truncated"], contract["dropped"]) == (2, {"side": side, "rows": 1}, {})
    assert 56 < len(encoded[0]) <= 64
    decoded = renderer.tokenizer.decode(encoded[0].prompt)
    assert decoded.startswith(begins) and decoded.endswith("<|end|>\n<|assistant|>")
    assert renderer.tokenizer.decode(encoded[0].completion) == "ok<|end|>"


def test_a_prompt_is_not_cut_to_nothing(renderer: Renderer) -> None:
    """The completion fits alone, but beside it there is no room even for the chat template."""
    data = rows([("my lamp", "is new is new is new"), ("lamp", "ok")])
    room = size(renderer, "is new is new is new") + 2
    with pytest.raises(TunesmithError, match="1 of 2 rows"):
        encode_rows(data, renderer, parameters(truncate="left", max_length=room), "train")


def test_a_row_of_exactly_max_length_is_kept(renderer: Renderer) -> None:
    encoded, _ = encode_rows(rows([("my lamp", "is new")]), renderer, parameters(), "train")
    length = len(encoded[0])
    encode_rows(rows([("my lamp", "is new")]), renderer, parameters(max_length=length), "train")
    with pytest.raises(TunesmithError, match=f"they have {length} tokens, max_length is {length - 1}"):
        encode_rows(rows([("my lamp", "is new")]), renderer, parameters(max_length=length - 1), "train")


def test_more_dropped_rows_than_the_threshold_name_the_row(renderer: Renderer) -> None:
    data = rows([("lamp", "ok"), ("lamp " * 200, "ok"), ("late", "ok"), ("new", "ok")])
    with pytest.raises(TunesmithError) as caught:
        encode_rows(data, renderer, parameters(max_dropped=0.24), "validation")
    message = str(caught.value)
    assert message.startswith("data/mixtures/demo/validation.parquet: row r2 (train.jsonl:2): ")
    assert (
        "1 of 4 rows (25.0%) would be dropped (1 longer than max_length); correct them, or raise max_dropped (now 0.24)"
        in message
    )


def test_no_row_left_is_refused_whatever_the_threshold(renderer: Renderer) -> None:
    with pytest.raises(TunesmithError, match="2 of 2 rows"):
        encode_rows(rows([("lamp " * 200, "ok")] * 2), renderer, parameters(max_dropped=1.0), "train")


def test_empty_part_is_refused(renderer: Renderer) -> None:
    with pytest.raises(TunesmithError, match=r"data/mixtures/demo/train.parquet: there must be at least one row"):
        encode_rows([], renderer, parameters(), "train")


def test_completion_that_cannot_fit_is_refused(renderer: Renderer) -> None:
    """It is no matter of dropping: the answer itself has no room."""
    data = rows([("lamp", "ok"), ("late", "lamp " * 200)])
    with pytest.raises(TunesmithError, match=r"row r2 .*a completion must fit the length limit; it has \d+ tokens"):
        encode_rows(data, renderer, parameters(max_dropped=1.0), "train")


def test_completion_without_text_is_refused(renderer: Renderer) -> None:
    with pytest.raises(TunesmithError, match=r"row r1 .*labels of a row must hold text; .* are \[0\], with no text"):
        encode_rows(rows([("lamp", "")]), renderer, parameters(), "train")


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ([], r"labels of a row must hold text; those of this row are \[\], with no text besides the end token"),
        ([5, 6], r"labels must end with the end token 0, or the model does not learn to stop; they end with \[5, 6\]"),
    ],
)
def test_a_planted_mask_is_caught(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch, planted: list[int], message: str
) -> None:
    """Whatever a renderer does: an all-masked row and a missing end token stop the step."""
    encode = renderer.encode
    monkeypatch.setattr(
        Renderer, "encode", lambda self, p, c: Encoded(encode(p, c).prompt, planted) if p == "late" else encode(p, c)
    )
    with pytest.raises(TunesmithError, match=rf"row r2 \(train.jsonl:2\): .*{message}"):
        encode_rows(rows([("lamp", "ok"), ("late", "ok")]), renderer, parameters(), "train")


def test_end_token_amid_a_completion_is_plain_text(renderer: Renderer) -> None:
    """A model that learnt the token itself would stop in the middle."""
    encoded, contract = encode_rows(rows([("lamp", "a<|end|>b")]), renderer, parameters(), "train")
    end = renderer.tokenizer.eos_token_id
    assert encoded[0].completion.count(end) == 1 and encoded[0].completion[-1] == end
    assert (contract["changed"], renderer.marked(encoded[0])) == (
        {},
        "<|user|>lamp<|end|>\n<|assistant|>[[a<|end|>b<|end|>]]",
    )


def test_template_without_end_token_stops_the_step(renderer: Renderer) -> None:
    renderer.tokenizer.chat_template = renderer.tokenizer.chat_template.replace("<|end|>", "")
    with pytest.raises(TunesmithError, match="must end a completion with the end token"):
        encode_rows(rows([("lamp", "ok")]), renderer, parameters(), "train")


def test_encoder_decoder_limits_each_side(tiny_t5: Path) -> None:
    renderer = Renderer(AutoTokenizer.from_pretrained(tiny_t5), "seq2seq")
    data = rows([("the lamp is late, the parcel is late, I cannot log in", "the lamp and the parcel are late")])
    encoded, contract = encode_rows(data, renderer, parameters(), "train")
    longer = len(encoded[0].prompt)
    assert 8 < len(encoded[0].completion) < longer < contract["tokens"]
    assert contract["padding_share"] == 0
    encode_rows(data, renderer, parameters(max_length=longer), "train")
    with pytest.raises(TunesmithError, match=f"they have {longer} tokens, max_length is {longer - 1}"):
        encode_rows(data, renderer, parameters(max_length=longer - 1), "train")


def chats(*conversations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    texts = rows([("unused", "unused")] * len(conversations))
    return [row | {"messages": json.dumps(own), "tools": None} for row, own in zip(texts, conversations, strict=True)]


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


TWO_TURNS = [
    *(turn("user", "Name a fruit"), turn("assistant", "plum", train=True)),
    *(turn("user", "Another?"), turn("assistant", "pear", train=True)),
]


def test_the_contract_of_conversations_shows_each_learned_turn() -> None:
    renderer = Renderer(chat_tokenizer(CHATML), "causal")
    not_learned = [TWO_TURNS[0], TWO_TURNS[1] | {"train": False}, *TWO_TURNS[2:]]
    encoded, contract = encode_rows(chats(TWO_TURNS, not_learned), renderer, parameters(), "train")
    head = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nName a fruit<|im_end|>\n<|im_start|>assistant\n"
    assert contract["samples"]["summary"] == (
        f"{head}[[plum<|im_end|>]]\n<|im_start|>user\nAnother?<|im_end|>\n<|im_start|>assistant\n[[pear<|im_end|>]]"
    )
    assert contract["learned_turns"] == spread([2, 1])
    assert contract["supervised_tokens"] == 2 * encoded[1].supervised + size(renderer, "plum") + 1
    assert (contract["end_token_rows"], contract["changed"], contract["dropped"]) == (2, {}, {})


def test_turns_that_the_template_changes_are_counted_and_stop_past_the_threshold() -> None:
    renderer = Renderer(chat_tokenizer(REASONING), "causal")
    reasons = [TWO_TURNS[0], TWO_TURNS[1] | {"reasoning_content": "hm"}, *TWO_TURNS[2:]]
    data = chats(TWO_TURNS, reasons, TWO_TURNS)
    _, contract = encode_rows(data, renderer, parameters(max_dropped=0.34), "train")
    assert (contract["rows"], contract["dropped"]) == (2, {"the chat template changes an earlier turn": 1})
    with pytest.raises(TunesmithError) as caught:
        encode_rows(data, renderer, parameters(max_dropped=0.3), "train")
    first, last = str(caught.value).splitlines()
    assert first.startswith("data/mixtures/demo/train.parquet: row r2 (train.jsonl:2): the chat template must render")
    assert "turn 2 is rendered with '<think>" in first and "with 'plum" in first and "learn: last" in first
    assert "1 of 3 rows (33.3%) would be dropped (1 the chat template changes an earlier turn)" in last


def test_marks_without_the_end_token_are_refused() -> None:
    """The model would not learn to stop."""
    template = MARKED["chatml"].replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
    with pytest.raises(TunesmithError, match=r"row r1 .*labels must end with the end token 3.*if it marks turns"):
        encode_rows(chats(TWO_TURNS), Renderer(chat_tokenizer(template), "causal"), parameters(), "train")


def test_white_space_that_a_template_removes_is_told() -> None:
    renderer = Renderer(chat_tokenizer(GEMMA, eos="</s>"), "causal")
    _, contract = encode_rows(rows([("go on", "    return x"), ("go on", "x")]), renderer, parameters(), "train")
    assert changed(contract) == [
        "1 of 2 have white space that the chat template removes at the ends of a text, first chats/r1"
    ]


def test_only_rows_that_are_kept_count_as_changed() -> None:
    renderer = Renderer(chat_tokenizer(GEMMA, eos="</s>"), "causal")
    data = rows([("go on " * 200, "  x"), ("go on", "x")])
    _, contract = encode_rows(data, renderer, parameters(max_length=64, max_dropped=0.5), "train")
    assert (contract["rows"], contract["dropped"], contract["changed"]) == (1, {"longer than max_length": 1}, {})
