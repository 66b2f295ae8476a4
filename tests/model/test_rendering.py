"""Which tokens a prompt and its completion become, and the fingerprint of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tasks.core.errors import TunesmithError
from tasks.model.base_models import EMBEDDED, BaseModelParams, find, load_tokenizer
from tasks.model.fingerprint import fingerprint, refuse_other_fingerprint, templates_of
from tasks.model.rendering import Renderer

ROW = {"source": "chats", "template_id": "short", "template": "Sum up: {{dialogue}}"}


@pytest.fixture
def chat(tiny_llama: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_llama)


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def one(tokenizer: Any, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def test_chat_masks_are_exact(chat: Any) -> None:
    user, assistant, end = (one(chat, token) for token in ("<|user|>", "<|assistant|>", "<|end|>"))
    encoded = Renderer(chat, "causal").encode("my lamp is broken", "it comes on Monday.")
    assert encoded.prompt == [user, *ids(chat, "my lamp is broken"), end, *ids(chat, "\n"), assistant]
    assert encoded.completion == [*ids(chat, "it comes on Monday."), end]
    assert len(encoded) == len(encoded.prompt) + len(encoded.completion)


def test_prompt_alone_is_the_prompt_of_the_pair(chat: Any) -> None:
    renderer = Renderer(chat, "causal")
    for text, completion in [("a", "b"), ("two\nlines ", " spaces "), ("ünï→", "日本"), ("x", "")]:
        assert renderer.prompt(text) == renderer.encode(text, completion).prompt


def test_other_prefix_is_refused_with_its_token(chat: Any) -> None:
    chat.chat_template = "{% if messages|length > 1 %}X{% endif %}" + chat.chat_template
    with pytest.raises(TunesmithError, match=r"token 0 is '<\|user\|>' alone and 'X' with the completion"):
        Renderer(chat, "causal").encode("my lamp", "is new")


def test_no_token_reaches_across_the_border(chat: Any) -> None:
    """Without a special token between them, they would share a token; a model gets the prompt alone."""
    close = "{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    chat.chat_template = "{% for m in messages %}{{ m['content'] }}" + close + "{% endfor %}"
    assert len(ids(chat, "lamp")) < len(ids(chat, "lam")) + len(ids(chat, "p"))
    encoded = Renderer(chat, "causal").encode("lam", "p")
    assert (encoded.prompt, encoded.completion) == (ids(chat, "lam"), [*ids(chat, "p"), one(chat, "<|end|>")])


@pytest.mark.parametrize("completion", ["is new", "is<|end|> new"])
def test_template_without_end_token_is_refused(chat: Any, completion: str) -> None:
    chat.chat_template = chat.chat_template.replace("<|end|>", "")
    with pytest.raises(TunesmithError, match=r"end a completion with the end token '<\|end\|>'; it ends with"):
        Renderer(chat, "causal").encode("my lamp", completion)


def test_end_token_text_in_a_completion_does_not_cut_it(chat: Any) -> None:
    encoded = Renderer(chat, "causal").encode("my lamp", "a<|end|>b")
    plain = chat("<|end|>", add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert encoded.completion == [*ids(chat, "a"), *plain, *ids(chat, "b"), one(chat, "<|end|>")]


def test_without_chat_template_a_line_end_separates(chat: Any) -> None:
    chat.chat_template = None
    encoded = Renderer(chat, "causal").encode("my lamp", "is new")
    assert encoded.prompt == ids(chat, "my lamp\n")
    assert encoded.completion == [*ids(chat, "is new"), chat.eos_token_id]


def test_seq2seq_splits_between_encoder_and_decoder(tiny_t5: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_t5)
    encoded = Renderer(tokenizer, "seq2seq").encode("my lamp", "is new")
    assert encoded.prompt == list(tokenizer("my lamp")["input_ids"])
    assert encoded.completion == [*ids(tokenizer, "is new"), tokenizer.eos_token_id]


def test_equal_renderings_have_equal_fingerprints(tiny_llama: Path) -> None:
    first, second = (
        fingerprint(Renderer(AutoTokenizer.from_pretrained(tiny_llama), "causal"), 64, [ROW, ROW]) for _ in range(2)
    )
    assert first == second
    refuse_other_fingerprint(first["fields"], second["fields"], "model x")


def test_encoding_does_not_change_the_fingerprint(chat: Any) -> None:
    renderer = Renderer(chat, "causal")
    before = fingerprint(renderer, 64, [ROW])
    renderer.encode("my lamp", "is new")
    assert fingerprint(renderer, 64, [ROW]) == before


@pytest.mark.parametrize(
    "field", ["chat_template", "tokenizer", "special_tokens", "max_length", "truncate", "templates", "kind"]
)
def test_each_field_changes_the_fingerprint_and_is_named(chat: Any, field: str) -> None:
    before = fingerprint(Renderer(chat, "causal"), 64, [ROW])
    kind, length, row, side = "causal", 64, ROW, None
    match field:
        case "chat_template":
            chat.chat_template = chat.chat_template + " "
        case "tokenizer":
            chat.add_tokens(["lampshade"])
        case "special_tokens":
            chat.pad_token = "<|user|>"
        case "max_length":
            length = 65
        case "truncate":
            side = "left"
        case "templates":
            row = ROW | {"template": "Summarise: {{dialogue}}"}
        case "kind":
            kind = "seq2seq"
    after = fingerprint(Renderer(chat, kind), length, [row], side)
    assert after["value"] != before["value"]
    assert [name for name in before["fields"] if before["fields"][name] != after["fields"][name]] == [field]
    named = "chats/short" if field == "templates" else f"{field} differs"
    with pytest.raises(TunesmithError, match=f"model x: .*{named}"):
        refuse_other_fingerprint(before["fields"], after["fields"], "model x")


def test_templates_are_compared_only_where_both_know_them(chat: Any) -> None:
    renderer = Renderer(chat, "causal")
    trained = fingerprint(renderer, 64, [ROW])["fields"]
    now = fingerprint(renderer, 64, [ROW | {"template_id": "other", "template": "Something else"}])["fields"]
    refuse_other_fingerprint(trained, now, "model x")


def test_templates_by_source_and_id() -> None:
    other = ROW | {"source": "mails", "template": "t"}
    assert templates_of([other, ROW, ROW]) == {"chats/short": ROW["template"], "mails/short": "t"}


@pytest.mark.slow
def test_embedded_model_labels_are_exact(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(find(BaseModelParams(name=EMBEDDED), tmp_path))
    encoded = Renderer(tokenizer, "causal").encode("Say hello.", "Hello there!")
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert tokenizer.decode(encoded.prompt) == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert encoded.completion == [*ids(tokenizer, "Hello there!"), 2]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
