"""Greedy decoding in slots: an output does not depend on other rows, in other slots or earlier in its own."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tasks.inference.slots import SUITED, Slots, room, suits

VOCABULARY, NEW = 40, 9
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "intermediate_size": 64}
N = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
DEEPSEEK = GROUPED | {"num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4}
# Keys and values are not of the same size here.
DEEPSEEK |= {"qk_nope_head_dim": 6, "v_head_dim": 8, "moe_intermediate_size": 16, "n_routed_experts": 4}
DEEPSEEK |= {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1}
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED),
    "mistral": ("mistral", GROUPED | {"sliding_window": None}),
    "qwen2": ("qwen2", GROUPED),
    "qwen3": ("qwen3", GROUPED | {"head_dim": 8}),
    "smollm3": ("smollm3", GROUPED | {"pad_token_id": 0}),
    "olmo2": ("olmo2", GROUPED),
    "granite": ("granite", GROUPED),
    "gemma": ("gemma", GROUPED | {"head_dim": 8}),
    "phi": ("phi", GROUPED),
    "stablelm": ("stablelm", GROUPED),
    "deepseek_v3": ("deepseek_v3", DEEPSEEK),
    "gpt2": ("gpt2", N),
    "gpt_bigcode": ("gpt_bigcode", N),
    "gpt_neox": ("gpt_neox", SIZES | {"intermediate_size": 64}),
    "opt": ("opt", SIZES | {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "biogpt": ("biogpt", SIZES | {"intermediate_size": 64}),
}
NOT_SUITED: dict[str, tuple[str, dict[str, Any]]] = {
    "a sliding window": ("mistral", GROUPED | {"sliding_window": 16}),
    "some layers with a sliding window": ("gemma3_text", GROUPED | {"head_dim": 8, "sliding_window": 16}),
    "a sliding window that counts places": (
        "gpt_neo",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_layers": 2}
        | {"num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    "a state": ("mamba", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}),
    "no positions to tell": ("bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "places counted whatever the mask": ("mpt", {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4}),
    "no cache": ("openai-gpt", N),
    "attention of its own": ("gptj", N | {"rotary_dim": 8}),
    "frequencies of the longest row": (
        "llama",
        GROUPED | {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    ),
}


def made(kind: str, sizes: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    # With embeddings that are tied to the output, a random model repeats its last token for ever.
    config = AutoConfig.for_model(kind, **({"tie_word_embeddings": False} | sizes))
    model = AutoModelForCausalLM.from_config(config).eval()
    # So large that the likeliest token changes from step to step, instead of being repeated for ever.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3) if parameter.ndim > 1 else None
    return model


def rows(count: int = 24, longest: int = 60) -> list[list[int]]:
    """The longest first."""
    draw = random.Random(0)
    lengths = sorted((draw.randint(1, longest) for _ in range(count)), reverse=True)
    return [[draw.randrange(VOCABULARY) for _ in range(length)] for length in lengths]


def alone(model: Any, prompt: list[int], end: int, new: int = NEW) -> list[int]:
    """By the whole forward pass for each token."""
    tokens: list[int] = []
    while len(tokens) < new and end not in tokens:
        tokens.append(int(model(input_ids=torch.tensor([prompt + tokens])).logits[0, -1].argmax()))
    return tokens


def test_every_model_of_the_list_is_tried() -> None:
    assert {kind for kind, _ in MADE.values()} == SUITED


@pytest.mark.parametrize("name", MADE)
@torch.no_grad()
def test_an_output_does_not_depend_on_other_rows(name: str) -> None:
    model, prompts = made(*MADE[name]), rows()
    assert suits(model)
    whole = [alone(model, prompt, -1) for prompt in prompts]

    def until(end: int) -> list[list[int]]:
        return [tokens[: tokens.index(end) + 1] if end in tokens else tokens for tokens in whole]

    # The end is the token with which rows end at most different steps.
    end = max(range(VOCABULARY), key=lambda token: len({len(tokens) for tokens in until(token)}))
    expected = until(end)
    assert len({len(tokens) for tokens in expected}) > 2
    for budget in (1, 200, 10_000):
        outputs = dict(Slots(model, room([len(p) + NEW for p in prompts], budget)).generate(prompts, [end], NEW))
        assert [outputs[index] for index in range(len(prompts))] == expected


@torch.no_grad()
def test_what_fills_a_pass_up_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in bf16 reads passes of whole widths; rounding would hide a change, so this one is in fp32."""
    model, prompts = made(*MADE["llama"]), rows()
    whole, passes = [alone(model, prompt, -1) for prompt in prompts], watched(model)
    monkeypatch.setattr(type(model), "dtype", torch.bfloat16)
    outputs = dict(Slots(model, 300).generate(prompts, (), NEW))
    assert [outputs[index] for index in range(len(prompts))] == whole
    assert all(tokens % 16 == 0 for tokens in passes)


@pytest.mark.parametrize("name", NOT_SUITED)
def test_models_that_cannot_decode_in_slots(name: str) -> None:
    assert not suits(made(*NOT_SUITED[name]))


def watched(model: Any) -> list[int]:
    """Tokens of each pass to come."""
    passes: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args, kwargs: passes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    return passes


@torch.no_grad()
def test_slots_are_filled_again_and_made_narrower() -> None:
    """With room for two of the longest rows, passes are few: as many rows are active as the cache has room for."""
    model, prompts = made(*MADE["llama"]), rows(count=60)
    slots, passes = Slots(model, 150), watched(model)
    assert len(dict(slots.generate(prompts, (), NEW))) == 60
    assert passes[0] == sum(map(len, prompts[: 150 // (len(prompts[0]) + NEW)])) and 150 // (len(prompts[0]) + NEW) == 2
    assert sum(passes) == sum(map(len, prompts)) + 60 * (NEW - 1), "nothing is padded or carried on after its end"
    assert sum(passes) - sum(map(len, prompts)) > 2.5 * len(passes), "rows in a pass"
    assert [held.shape for held in slots.held] == [(2, 150, 8)] * 4, "and never took more room"


@torch.no_grad()
def test_a_beginning_that_all_rows_have() -> None:
    model, prompts = made(*MADE["llama"]), rows()
    prefix = rows(count=1, longest=20)[0]
    cache = model.model(input_ids=torch.tensor([prefix]), use_cache=True).past_key_values
    beginning = [(layer.keys, layer.values) for layer in cache.layers]
    widths = [len(prefix) + len(prompt) + NEW for prompt in prompts]
    outputs = dict(Slots(model, room(widths, 300), beginning).generate(prompts, (), NEW))
    assert [outputs[index] for index in range(len(prompts))] == [alone(model, prefix + p, -1) for p in prompts]


@torch.no_grad()
def test_one_token_and_one_row() -> None:
    model, prompts = made(*MADE["llama"]), rows(count=3)
    for some in (prompts, prompts[:1]):
        outputs = dict(Slots(model, room([len(p) + 1 for p in some], 64)).generate(some, (), 1))
        assert [outputs[index] for index in range(len(some))] == [alone(model, prompt, -1, 1) for prompt in some]


@torch.no_grad()
def test_a_row_may_end_at_the_last_position_of_its_model() -> None:
    model, new = made("gpt2", N), 12
    prefix, prompts = rows(count=1, longest=5)[0], [row * 8 for row in rows(count=2, longest=15)]
    prompts[0] = (prompts[0] * 9)[: 128 - len(prefix) - new]
    cache = model.transformer(input_ids=torch.tensor([prefix]), use_cache=True).past_key_values
    beginning = [(layer.keys, layer.values) for layer in cache.layers]
    whole = [alone(model, prefix + prompt, -1, new) for prompt in prompts]
    widths = [len(prefix) + len(prompt) + new for prompt in prompts]
    outputs = dict(Slots(model, room(widths, 10_000), beginning).generate(prompts, (), new))
    assert [outputs[index] for index in (0, 1)] == whole


def test_room_is_the_budget_within_what_rows_take() -> None:
    assert [room([50, 20, 10], budget) for budget in (16, 60, 100)] == [50, 60, 80]
