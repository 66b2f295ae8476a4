"""Tokenizer, chat template and ``max_length`` against the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import BartConfig, OPTConfig

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, write_json
from tasks.model.base_models import BaseModel, BaseModelParams, find, load_tokenizer
from tasks.model.rendering import Renderer
from tasks.train.limits import Limits, check_limits, limits_of
from tests.tiny import save_gpt2, save_llama, save_t5

CORPUS = ["my lamp is broken", "the chair came back"]
Damage = Callable[[Path], Any]


def checked(folder: Path, max_length: int = 64, beyond_context: bool = False) -> list[str]:
    base = find(BaseModelParams(name=str(folder)), folder)
    return check_limits(base, Renderer(load_tokenizer(base), base.kind), max_length, beyond_context)


def edit(folder: Path, file: str, **values: Any) -> None:
    write_json(folder / file, read_json(folder / file) | values)


def test_models_that_fit_have_no_notes(tmp_path: Path) -> None:
    for number, save in enumerate((save_llama, save_t5, save_gpt2)):
        assert checked(save(tmp_path / str(number), CORPUS)) == []


def test_learned_positions_end_and_are_refused_even_if_allowed(tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path, CORPUS)
    assert checked(folder, 256) == []
    for allowed in (False, True):
        with pytest.raises(
            TunesmithError, match=r"max_length: must be at most 256, the number of positions that .* 257"
        ):
            checked(folder, 257, allowed)


def test_computed_positions_go_on_if_a_parameter_allows_it(tmp_path: Path) -> None:
    folder = save_llama(tmp_path, CORPUS)
    with pytest.raises(
        TunesmithError, match=r"max_length: must be at most 4096, .*; it is 5000; .*`beyond_context: true`"
    ):
        checked(folder, 5000)
    assert checked(folder, 5000, beyond_context=True) == []


def test_relative_positions_have_no_limit(tmp_path: Path) -> None:
    assert checked(save_t5(tmp_path, CORPUS), 100_000) == []


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (OPTConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, ffn_dim=8, num_attention_heads=1,
                   word_embed_proj_dim=8, max_position_embeddings=32), 32),
        (BartConfig(vocab_size=9, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
                    decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=48,
                    pad_token_id=1, bos_token_id=0, eos_token_id=2), 48),
    ],
    ids=["opt", "bart"],
)  # fmt: skip
def test_tables_of_positions_with_an_offset(tmp_path: Path, config: Any, positions: int) -> None:
    config.save_pretrained(tmp_path)
    kind = "seq2seq" if config.is_encoder_decoder else "causal"
    assert limits_of(BaseModel("x", tmp_path, None, "", kind)) == Limits(9, positions, positions)


def longer_tokenizer(folder: Path) -> None:
    words = load_tokenizer(find(BaseModelParams(name=str(folder)), folder))
    words.add_tokens(["zzyzx"])
    words.save_pretrained(folder)


def end_outside(folder: Path) -> None:
    words = load_tokenizer(find(BaseModelParams(name=str(folder)), folder))
    words.add_special_tokens({"eos_token": "<|stop|>"})
    words.save_pretrained(folder)


def unused_control_token(folder: Path) -> None:
    words = load_tokenizer(find(BaseModelParams(name=str(folder)), folder))
    words.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    words.chat_template = words.chat_template.replace("<|image|>", "")
    words.save_pretrained(folder)


def written_control_token(folder: Path) -> None:
    words = load_tokenizer(find(BaseModelParams(name=str(folder)), folder))
    words.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    words.chat_template = "<|image|>" + words.chat_template
    words.save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            longer_tokenizer,
            r"tokens, of which 1 are outside: 'zzyzx' \(\d+\); use the tokenizer that belongs to the model",
        ),
        (end_outside, r"the tokenizer's eos_token '<\|stop\|>' is \d+; use the tokenizer"),
        (written_control_token, r"1 are outside: '<\|image\|>'"),
        (
            lambda folder: edit(folder, "config.json", eos_token_id=9999),
            r"config.json: eos_token_id is 9999; correct it",
        ),
    ],
)
def test_token_ids_outside_the_embedding_are_named(tmp_path: Path, damage: Damage, expected: str) -> None:
    folder = save_llama(tmp_path, CORPUS)
    damage(folder)
    with pytest.raises(TunesmithError, match=expected) as error:
        checked(folder)
    assert "a token id must be below 2" in str(error.value) or "a token id must be below 3" in str(error.value)


def test_a_control_token_that_nothing_writes_may_be_outside(tmp_path: Path) -> None:
    folder = save_llama(tmp_path, CORPUS)
    unused_control_token(folder)
    assert checked(folder) == []


def test_markers_that_are_no_tokens_are_named(tmp_path: Path) -> None:
    folder = save_llama(tmp_path, CORPUS)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(
        template.replace("<|{{ message['role'] }}|>", "<|start_{{ message['role'] }}|>")
    )
    (note,) = checked(folder)
    assert "markers that its tokenizer does not have as one token: <|start_user|> (" in note


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path, CORPUS)
    longer_tokenizer(folder)
    with pytest.raises(TunesmithError) as error:
        checked(folder, 1024)
    assert len(str(error.value).splitlines()) == 2
