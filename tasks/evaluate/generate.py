"""Greedy generation or beam search in batches sorted by length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from tasks.evaluate.params import GenerationParams
from tasks.likelihood import bucket, unwrapped
from tasks.progress import progress
from tasks.tuned import soft_prompt


@dataclass(frozen=True)
class Generated:
    """What a model said: its text without special tokens, tokens (end token included), whether it stopped itself."""

    text: str
    new_tokens: int
    finished: bool


def batches(lengths: Sequence[int], params: GenerationParams) -> list[list[int]]:
    """Indices, longest rows first, so that the first batch shows whether memory suffices."""
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    found: list[list[int]] = [[]]
    for index in order:
        width = bucket(lengths[(found[-1] or [index])[0]]) + params.max_new_tokens
        if found[-1] and params.num_beams * width * (len(found[-1]) + 1) > params.token_budget:
            found.append([])
        found[-1].append(index)
    return found


@torch.no_grad()
def generate(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> list[Generated]:
    """The completion of every prompt, in the order of ``prompts``."""
    model.eval()
    results: list[Generated | None] = [None] * len(prompts)
    with _configured(model, tokenizer, params), progress("generating", len(prompts)) as meter:
        for indices in batches([len(prompt) for prompt in prompts], params):
            said = _generate_batch(model, tokenizer, [prompts[i] for i in indices], kind)
            for index, tokens in zip(indices, said, strict=True):
                results[index] = _cut(tokenizer, tokens)
            meter.advance(len(indices))
    return [result for result in results if result is not None]


@contextmanager
def _configured(model: Any, tokenizer: Any, params: GenerationParams) -> Iterator[None]:
    """In the place of the model's own settings: what ``generate`` is not told it would take from them, and hub
    models bring penalties, beams and forced tokens that training knows nothing of."""
    inner = unwrapped(model)
    own = inner.generation_config
    inner.generation_config = GenerationConfig(
        max_new_tokens=params.max_new_tokens,
        num_beams=params.num_beams,
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    try:
        yield
    finally:
        inner.generation_config = own


def _generate_batch(model: Any, tokenizer: Any, prompts: list[list[int]], kind: str) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    pads = [[tokenizer.pad_token_id] * (width - len(prompt)) for prompt in prompts]
    zeros = [[0] * len(pad) for pad in pads]
    ones = [[1] * len(prompt) for prompt in prompts]
    left = kind == "causal"  # a decoder continues at the end of its input
    ids = [pad + prompt if left else prompt + pad for pad, prompt in zip(pads, prompts, strict=True)]
    mask = [zero + one if left else one + zero for zero, one in zip(zeros, ones, strict=True)]
    device = next(model.parameters()).device
    inputs = {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
    if left and soft_prompt(model):
        return _after_soft_prompt(model, **inputs)
    output = model.generate(**inputs)
    # A decoder's output begins with its input, an encoder-decoder's with the decoder's start token.
    return output[:, width if left else 1 :].tolist()


def _after_soft_prompt(model: Any, input_ids: Tensor, attention_mask: Tensor) -> list[list[int]]:
    """New tokens of a decoder behind virtual tokens, which are no part of its merged weights.

    peft puts them before the padding on the left, so that how far they stand from the prompt depends on the batch;
    in training they stand right before it. Here as well: positions count only what the mask shows.
    """
    base, config = unwrapped(model), soft_prompt(model)
    count, (rows, width) = config.num_virtual_tokens, input_ids.shape
    shown_BV = attention_mask.new_ones(rows, count)
    if config.peft_type == "PREFIX_TUNING":
        # Keys and values know no positions of their own: what matters is that the prompt counts on from their number.
        output = base.generate(
            input_ids=torch.cat([input_ids[:, :1].expand(rows, count), input_ids], dim=1),
            attention_mask=torch.cat([shown_BV, attention_mask], dim=1),
            past_key_values=model.get_prompt(rows * base.generation_config.num_beams),
        )
        return list(output[:, count + width :].tolist())
    words_BTH = base.get_input_embeddings()(input_ids)
    virtual_BVH = model.get_prompt(rows).to(words_BTH.dtype)
    pads = (width - attention_mask.sum(1)).tolist()
    embedded = [torch.cat([words_BTH[i, :pad], virtual_BVH[i], words_BTH[i, pad:]]) for i, pad in enumerate(pads)]
    masks = [torch.cat([attention_mask[i, :pad], shown_BV[i], attention_mask[i, pad:]]) for i, pad in enumerate(pads)]
    output = base.generate(inputs_embeds=torch.stack(embedded), attention_mask=torch.stack(masks))
    return list(output.tolist())


def _cut(tokenizer: Any, tokens: list[int]) -> Generated:
    finished = tokenizer.eos_token_id in tokens
    if finished:
        tokens = tokens[: tokens.index(tokenizer.eos_token_id) + 1]
    return Generated(tokenizer.decode(tokens, skip_special_tokens=True).strip(), len(tokens), finished)
