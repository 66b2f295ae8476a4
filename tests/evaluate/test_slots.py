"""Greedy answers in slots: each row's are its own, whatever stands beside it, before it in its slot, or behind it."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    BloomConfig,
    FalconConfig,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    OPTConfig,
    PreTrainedConfig,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tasks.evaluate.slots import Slots, room, suits

VOCABULARY, NEW = 40, 9
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "intermediate_size": 64}
SUITED = {
    "llama": LlamaConfig(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "opt": OPTConfig(**SIZES, ffn_dim=64, word_embed_proj_dim=32),
    "gpt_neox": GPTNeoXConfig(**SIZES, intermediate_size=64),
    "falcon, alibi": FalconConfig(**SIZES, alibi=True, new_decoder_architecture=False, multi_query=True),
    "falcon": FalconConfig(**SIZES, alibi=False, new_decoder_architecture=False, multi_query=True),
}
NOT_SUITED = {
    "a sliding window": MistralConfig(**GROUPED, sliding_window=16),
    "some layers with a sliding window": Gemma3TextConfig(**GROUPED, head_dim=8, sliding_window=16),
    "a state": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
    "no positions to tell": BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
    "positions counted whatever the mask": MptConfig(vocab_size=VOCABULARY, d_model=32, n_layers=2, n_heads=4),
}


def made(config: PreTrainedConfig) -> Any:
    torch.manual_seed(0)
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).eval()
    # So large that the likeliest token changes from one to the next, instead of one being said for ever.
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
    said: list[int] = []
    while len(said) < new and end not in said:
        said.append(int(model(input_ids=torch.tensor([prompt + said])).logits[0, -1].argmax()))
    return said


@pytest.mark.parametrize("name", SUITED)
@torch.no_grad()
def test_every_row_says_what_it_says_alone(name: str) -> None:
    model, prompts = made(SUITED[name]), rows()
    assert suits(model)
    # A token that some rows say early, so that rows end at different steps.
    firsts = [alone(model, prompt, -1)[2] for prompt in prompts]
    end = max(set(firsts), key=firsts.count)
    expected = [alone(model, prompt, end) for prompt in prompts]
    assert len({len(said) for said in expected}) > 2, "they end at different steps"
    for budget in (1, 200, 10_000):
        found = dict(Slots(model, room([len(p) + NEW for p in prompts], budget)).answer(prompts, end, NEW))
        assert [found[place] for place in range(len(prompts))] == expected


@pytest.mark.parametrize("name", NOT_SUITED)
def test_models_that_cannot_stand_apart(name: str) -> None:
    assert not suits(made(NOT_SUITED[name]))


@torch.no_grad()
def test_slots_are_filled_again_and_made_narrower() -> None:
    """With room for two of the longest rows, the passes are few: rows under way are as many as there is room for."""
    model, prompts = made(SUITED["llama"]), rows(count=60)
    batches: list[tuple[int, int]] = []
    slots = Slots(model, 150)
    model.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    assert len(dict(slots.answer(prompts, -1, NEW))) == 60
    steps = [rows for rows, width in batches if width == 1]
    assert steps[0] == 150 // (len(prompts[0]) + NEW) == 2 and max(steps) >= 5
    assert sum(steps) == 60 * (NEW - 1) and sum(steps) / len(steps) > 2.5, "no row is carried on after its end"
    assert [held.shape for held in slots.held] == [(2, 150, 8)] * 4, "and never took more room"


@torch.no_grad()
def test_a_beginning_that_all_rows_have() -> None:
    model, prompts = made(SUITED["llama"]), rows()
    begun = rows(count=1, longest=20)[0]
    cache = model.model(input_ids=torch.tensor([begun]), use_cache=True).past_key_values
    beginning = [(layer.keys, layer.values) for layer in cache.layers]
    widths = [len(begun) + len(prompt) + NEW for prompt in prompts]
    found = dict(Slots(model, room(widths, 300), beginning).answer(prompts, -1, NEW))
    assert [found[place] for place in range(len(prompts))] == [alone(model, begun + p, -1) for p in prompts]


@torch.no_grad()
def test_one_token_and_one_row() -> None:
    model, prompts = made(SUITED["llama"]), rows(count=3)
    for some in (prompts, prompts[:1]):
        found = dict(Slots(model, room([len(p) + 1 for p in some], 64)).answer(some, -1, 1))
        assert [found[place] for place in range(len(some))] == [alone(model, prompt, -1, 1) for prompt in some]


def test_room_is_the_budget_within_what_rows_take() -> None:
    assert [room([50, 20, 10], budget) for budget in (16, 60, 100)] == [50, 60, 80]
