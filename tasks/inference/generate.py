"""Generation: greedy in slots, by beam search or drawn in batches; common beginnings are computed once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from tasks.core.progress import progress
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.inference.slots import Slots, room, suits
from tasks.model.batches import bucket
from tasks.model.unwrap import unwrapped
from tasks.tuning.load import soft_prompt

LEAST_SHARED = 64
"""Tokens from which on a common beginning is computed once."""

LEAST_MEMBERS = 8
"""Prompts from which on they are a group: each group is answered by itself, which costs time (not measured)."""


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
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    kind: str,
    params: GenerationParams,
    sampling: SamplingParams | None = None,
) -> list[Generated]:
    """The completion of every prompt, in the order of ``prompts``; with ``sampling`` drawn, with its ``seed``."""
    if not prompts:
        return []
    model.eval()
    results: list[Generated | None] = [None] * len(prompts)
    if sampling is not None:
        torch.manual_seed(sampling.seed)
    with _configured(model, tokenizer, params, sampling), progress("generating", len(prompts)) as meter:
        greedy = sampling is None and params.num_beams == 1
        ways = _in_slots if greedy and kind == "causal" and suits(model) else _in_batches
        for index, tokens in ways(model, tokenizer, prompts, kind, params):
            results[index] = _cut(tokenizer, tokens)
            meter.advance(1)
    return [result for result in results if result is not None]


def _in_slots(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> Iterator[tuple[int, list[int]]]:
    """(place, new tokens) of every prompt, as their answers end."""
    everyone = range(len(prompts))
    groups = [(_virtual_start(model), everyone)] if soft_prompt(model) else _groups(model, prompts, True)
    for start, members in groups:
        order = sorted(members, key=lambda member: (-len(prompts[member]), member))
        rests = [prompts[member][len(start.tokens) if start else 0 :] for member in order]
        beginning = [(layer.keys, layer.values) for layer in start.cache.layers] if start else []
        begun = beginning[0][0].shape[2] if beginning else 0
        widths = [begun + len(rest) + params.max_new_tokens for rest in rests]
        slots = Slots(unwrapped(model), room(widths, params.token_budget), beginning)
        for place, tokens in slots.answer(rests, tokenizer.eos_token_id, params.max_new_tokens):
            yield order[place], tokens
        del slots, beginning, start  # before the next group's are made


def _in_batches(
    model: Any, tokenizer: Any, prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> Iterator[tuple[int, list[int]]]:
    """As ``_in_slots``."""
    for start, members in _groups(model, prompts, kind == "causal" and not soft_prompt(model)):
        for places in batches([len(prompts[member]) for member in members], params):
            indices = [members[place] for place in places]
            said = _generate_batch(model, tokenizer, [prompts[i] for i in indices], kind, start)
            yield from zip(indices, said, strict=True)


@dataclass(frozen=True)
class _Start:
    """What a group of prompts begins with: its tokens (none where they are virtual), and their keys and values."""

    tokens: list[int]
    cache: Any


def _groups(model: Any, prompts: Sequence[list[int]], shared: bool) -> Iterator[tuple[_Start | None, Sequence[int]]]:
    """Groups of prompts with a common beginning that is computed, then all others as one group without."""
    rest = set(range(len(prompts)))
    for prefix, members in shared_prefixes(prompts) if shared else ():
        start = _start(model, prefix)
        if start is None:
            break
        yield start, members
        rest -= set(members)
    if rest:
        yield None, sorted(rest)


def shared_prefixes(prompts: Sequence[list[int]]) -> list[tuple[list[int], list[int]]]:
    """(tokens that all members begin with, members) of groups of prompts.

    Prompts belong together by their first ``LEAST_SHARED`` tokens, and are a group from ``LEAST_MEMBERS`` on. Something
    is left of every prompt.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        if len(prompt) > LEAST_SHARED:
            groups.setdefault(tuple(prompt[:LEAST_SHARED]), []).append(index)
    found = []
    for members in groups.values():
        if len(members) < LEAST_MEMBERS:
            continue
        length = min(len(prompts[member]) for member in members) - 1
        first = prompts[members[0]]
        for member in members[1:]:
            length = next((i for i in range(length) if prompts[member][i] != first[i]), length)
        found.append((first[:length], members))
    return found


def _start(model: Any, prefix: list[int]) -> _Start | None:
    """None where a beginning cannot stand apart: padding between it and the rest would lie within a sliding window,
    a state has no place for it, and MPT's attention counts places whatever the mask."""
    inner = unwrapped(model)
    ids = torch.tensor([prefix], device=next(model.parameters()).device)
    # Without the output layer: its logits at every token would take more than all else.
    output = inner.base_model(input_ids=ids, use_cache=True)
    cache = getattr(output, "past_key_values", None)
    plain = type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)
    return _Start(prefix, cache) if plain and inner.config.model_type != "mpt" else None


def _virtual_start(model: Any) -> _Start:
    """What virtual tokens stand for: with keys and values of their own, or as inputs that the model reads."""
    inner = unwrapped(model)
    if soft_prompt(model).peft_type == "PREFIX_TUNING":
        return _Start([], model.get_prompt(1))
    virtual_1VH = model.get_prompt(1).to(inner.get_input_embeddings().weight.dtype)
    return _Start([], inner.base_model(inputs_embeds=virtual_1VH, use_cache=True).past_key_values)


@contextmanager
def _configured(
    model: Any, tokenizer: Any, params: GenerationParams, sampling: SamplingParams | None = None
) -> Iterator[None]:
    """In the place of the model's own settings: what ``generate`` is not told it would take from them, and hub
    models bring penalties, beams and forced tokens that training knows nothing of."""
    inner = unwrapped(model)
    own = inner.generation_config
    inner.generation_config = GenerationConfig(
        max_new_tokens=params.max_new_tokens,
        num_beams=1 if sampling else params.num_beams,
        **_drawing(sampling),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    try:
        yield
    finally:
        inner.generation_config = own


def _drawing(sampling: SamplingParams | None) -> dict[str, Any]:
    if sampling is None:
        return {"do_sample": False}
    # 50 is the default of ``transformers``; what ``top_p`` leaves is drawn from whole.
    return {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}


def _generate_batch(
    model: Any, tokenizer: Any, prompts: list[list[int]], kind: str, start: _Start | None = None
) -> list[list[int]]:
    if start is not None:
        return _after_start(model, tokenizer, prompts, start)
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


def _after_start(model: Any, tokenizer: Any, prompts: list[list[int]], start: _Start) -> list[list[int]]:
    """New tokens behind prompts of one group. The padding stands between their common beginning and the rest;
    positions count only what the mask shows."""
    rests = [prompt[len(start.tokens) :] for prompt in prompts]
    width = max(map(len, rests))
    ids = [[*start.tokens, *[tokenizer.pad_token_id] * (width - len(rest)), *rest] for rest in rests]
    mask = [[1] * len(start.tokens) + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
    device = next(model.parameters()).device
    cache = copy.deepcopy(start.cache)
    cache.batch_repeat_interleave(len(prompts) * unwrapped(model).generation_config.num_beams)
    output = model.generate(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        past_key_values=cache,
    )
    return list(output[:, len(start.tokens) + width :].tolist())


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
