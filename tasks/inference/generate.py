"""Generation: greedy in slots, or by beam search or sampling in batches; common prefixes are computed once."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
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
from tasks.model.rendering import Renderer
from tasks.model.stops import stop_tokens
from tasks.model.unwrap import unwrapped
from tasks.tuning.load import soft_prompt

LEAST_SHARED = 64
"""Fewest tokens of a common prefix that is computed once."""

LEAST_MEMBERS = 8
"""Fewest prompts that form a group by their common prefix. Each group generates separately, which costs time."""


@dataclass(frozen=True)
class Generated:
    """An output of a model.

    Attributes:
        text: without special tokens; white space at its ends stays, since it means something in code.
        new_tokens: number of generated tokens, the stop token included.
        finished: whether the model generated a stop token.
    """

    text: str
    new_tokens: int
    finished: bool


def batches(lengths: Sequence[int], params: GenerationParams) -> list[list[int]]:
    """Put row indices into batches, longest rows first, so that the first batch shows whether memory suffices."""
    if not lengths:
        return []
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    result: list[list[int]] = [[]]
    for index in order:
        width = bucket(lengths[(result[-1] or [index])[0]]) + params.max_new_tokens
        if result[-1] and params.num_beams * width * (len(result[-1]) + 1) > params.token_budget:
            result.append([])
        result[-1].append(index)
    return result


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    kind: str,
    params: GenerationParams,
    sampling: SamplingParams | None = None,
) -> list[Generated]:
    """Generate the completion of every prompt, in the order of ``prompts``; ``sampling`` draws it with its seed."""
    results = dict(stream(model, tokenizer, prompts, kind, params, sampling))
    return [results[index] for index in range(len(prompts))]


def stream(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    kind: str,
    params: GenerationParams,
    sampling: SamplingParams | None = None,
) -> Iterator[tuple[int, Generated]]:
    """As ``generate``: yield (index of the prompt, its completion) as the completions end."""
    stops = stop_tokens(model, Renderer(tokenizer, kind))
    for index, tokens in stream_tokens(model, tokenizer, prompts, kind, params, sampling):
        finished = bool(tokens) and tokens[-1] in stops
        yield index, Generated(tokenizer.decode(tokens, skip_special_tokens=True), len(tokens), finished)


@torch.no_grad()
def stream_tokens(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    kind: str,
    params: GenerationParams,
    sampling: SamplingParams | None = None,
) -> Iterator[tuple[int, list[int]]]:
    """As ``stream``: yield (index of the prompt, its new tokens, to the first stop token)."""
    if not prompts:
        return
    model.eval()
    if sampling is not None:
        torch.manual_seed(sampling.seed)
    stops = stop_tokens(model, Renderer(tokenizer, kind))
    with _configured(model, tokenizer, stops, params, sampling), progress("generating", len(prompts), "rows") as meter:
        greedy = sampling is None and params.num_beams == 1
        method = _in_slots if greedy and kind == "causal" and suits(model) else _in_batches
        for index, tokens in method(model, tokenizer, stops, prompts, kind, params):
            meter.advance(1)
            yield index, _cut(tokens, stops)


def _in_slots(
    model: Any, tokenizer: Any, stops: list[int], prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> Iterator[tuple[int, list[int]]]:
    """Yield (index of the prompt, new tokens) as the outputs end."""
    everyone = range(len(prompts))
    groups = [(_virtual_prefix(model), everyone)] if soft_prompt(model) else _groups(model, prompts, True)
    for prefix, members in groups:
        order = sorted(members, key=lambda member: (-len(prompts[member]), member))
        rests = [prompts[member][len(prefix.tokens) if prefix else 0 :] for member in order]
        keys_values = [(layer.keys, layer.values) for layer in prefix.cache.layers] if prefix else []
        prefix_length = keys_values[0][0].shape[2] if keys_values else 0
        widths = [prefix_length + len(rest) + params.max_new_tokens for rest in rests]
        slots = Slots(unwrapped(model), room(widths, params.token_budget), keys_values)
        for index, tokens in slots.generate(rests, stops, params.max_new_tokens):
            yield order[index], tokens
        del slots, keys_values, prefix  # free their memory before the next group


def _in_batches(
    model: Any, tokenizer: Any, stops: list[int], prompts: Sequence[list[int]], kind: str, params: GenerationParams
) -> Iterator[tuple[int, list[int]]]:
    """As ``_in_slots``."""
    for prefix, members in _groups(model, prompts, kind == "causal" and not soft_prompt(model)):
        for batch in batches([len(prompts[member]) for member in members], params):
            indices = [members[position] for position in batch]
            outputs = _generate_batch(model, tokenizer, [prompts[i] for i in indices], kind, prefix)
            yield from zip(indices, outputs, strict=True)


@dataclass(frozen=True)
class _Prefix:
    """The common prefix of a group of prompts: its tokens (none for virtual ones), and their keys and values."""

    tokens: list[int]
    cache: Any


def _groups(model: Any, prompts: Sequence[list[int]], shared: bool) -> Iterator[tuple[_Prefix | None, Sequence[int]]]:
    """Yield groups of prompts with their computed prefix, then all other prompts as one group without."""
    rest = set(range(len(prompts)))
    for tokens, members in shared_prefixes(prompts) if shared else ():
        prefix = _compute_prefix(model, tokens)
        if prefix is None:
            break
        yield prefix, members
        rest -= set(members)
    if rest:
        yield None, sorted(rest)


def shared_prefixes(prompts: Sequence[list[int]]) -> list[tuple[list[int], list[int]]]:
    """Return (common prefix, members) of groups of prompts.

    ``LEAST_MEMBERS`` or more prompts with equal first ``LEAST_SHARED`` tokens form a group. At least one token of every
    prompt remains behind the prefix.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        if len(prompt) > LEAST_SHARED:
            groups.setdefault(tuple(prompt[:LEAST_SHARED]), []).append(index)
    result = []
    for members in groups.values():
        if len(members) < LEAST_MEMBERS:
            continue
        length = min(len(prompts[member]) for member in members) - 1
        first = prompts[members[0]]
        for member in members[1:]:
            length = next((i for i in range(length) if prompts[member][i] != first[i]), length)
        result.append((first[:length], members))
    return result


def _compute_prefix(model: Any, tokens: list[int]) -> _Prefix | None:
    """Compute the keys and values of a prefix; None for a model that needs them in one piece with the rest.

    Padding between prefix and rest would lie within a sliding window. A recurrent state cannot skip padding. MPT's
    attention counts positions whatever the mask.
    """
    inner = unwrapped(model)
    ids = torch.tensor([tokens], device=next(model.parameters()).device)
    # Without the output layer, whose logits at every token would take more memory than all else.
    output = inner.base_model(input_ids=ids, use_cache=True)
    cache = getattr(output, "past_key_values", None)
    plain = type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)
    return _Prefix(tokens, cache) if plain and inner.config.model_type != "mpt" else None


def _virtual_prefix(model: Any) -> _Prefix:
    """Return the keys and values of virtual tokens: trained ones, or those that the model computes from inputs."""
    inner = unwrapped(model)
    if soft_prompt(model).peft_type == "PREFIX_TUNING":
        return _Prefix([], model.get_prompt(1))
    virtual_1VH = model.get_prompt(1).to(inner.get_input_embeddings().weight.dtype)
    return _Prefix([], inner.base_model(inputs_embeds=virtual_1VH, use_cache=True).past_key_values)


@contextmanager
def _configured(
    model: Any, tokenizer: Any, stops: list[int], params: GenerationParams, sampling: SamplingParams | None = None
) -> Iterator[None]:
    """Replace the model's own generation settings.

    ``generate`` falls back on these settings. Hub models bring penalties, beams and forced tokens that training does
    not use.
    """
    inner = unwrapped(model)
    own = inner.generation_config
    inner.generation_config = GenerationConfig(
        max_new_tokens=params.max_new_tokens,
        num_beams=1 if sampling else params.num_beams,
        **_sampling_settings(sampling),
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    try:
        yield
    finally:
        inner.generation_config = own


def _sampling_settings(sampling: SamplingParams | None) -> dict[str, Any]:
    if sampling is None:
        return {"do_sample": False}
    # ``transformers`` would take 50 for ``top_k``; here only ``top_p`` limits the drawn tokens.
    return {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}


def _generate_batch(
    model: Any, tokenizer: Any, prompts: list[list[int]], kind: str, prefix: _Prefix | None = None
) -> list[list[int]]:
    if prefix is not None:
        return _after_prefix(model, tokenizer, prompts, prefix)
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
    # A decoder's output starts with its input, an encoder-decoder's with the decoder's start token.
    return output[:, width if left else 1 :].tolist()


def _after_prefix(model: Any, tokenizer: Any, prompts: list[list[int]], prefix: _Prefix) -> list[list[int]]:
    """Generate for prompts of one group.

    The padding is between their common prefix and the rest, and positions count unmasked tokens only.
    """
    rests = [prompt[len(prefix.tokens) :] for prompt in prompts]
    width = max(map(len, rests))
    ids = [[*prefix.tokens, *[tokenizer.pad_token_id] * (width - len(rest)), *rest] for rest in rests]
    mask = [[1] * len(prefix.tokens) + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
    device = next(model.parameters()).device
    cache = copy.deepcopy(prefix.cache)
    cache.batch_repeat_interleave(len(prompts) * unwrapped(model).generation_config.num_beams)
    output = model.generate(
        input_ids=torch.tensor(ids, device=device),
        attention_mask=torch.tensor(mask, device=device),
        past_key_values=cache,
    )
    return list(output[:, len(prefix.tokens) + width :].tolist())


def _after_soft_prompt(model: Any, input_ids: Tensor, attention_mask: Tensor) -> list[list[int]]:
    """Generate with a decoder behind virtual tokens, which are no part of its merged weights.

    In training the virtual tokens are right before the prompt. peft would put them before the padding on the left,
    so that their distance from the prompt depends on the batch. Here they are right before the prompt, and positions
    count unmasked tokens only.
    """
    base, config = unwrapped(model), soft_prompt(model)
    count, (rows, width) = config.num_virtual_tokens, input_ids.shape
    shown_BV = attention_mask.new_ones(rows, count)
    if config.peft_type == "PREFIX_TUNING":
        # These keys and values have no positions; the positions of the prompt continue from their number.
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


def _cut(tokens: list[int], stops: Collection[int]) -> list[int]:
    end = next((position for position, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[: end + 1]
