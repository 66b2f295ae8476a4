"""What a model takes after training: generation, with its cache of keys and values, and the merging of adapters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.modeling_outputs import BaseModelOutput

from tasks.core import device
from tasks.inference.generate import batches
from tasks.inference.params import GenerationParams
from tasks.inference.slots import DRAFTS, Slots, room, suits, together
from tasks.memory.fit import gb, written
from tasks.memory.simulate import Step, materialise, output_layer_at, storage_bytes, tensors_of
from tasks.memory.storage_counter import StorageCounter
from tasks.model.base_models import BaseModel, untrained
from tasks.model.batches import bucket
from tasks.tuning.load import SOFT
from tasks.tuning.methods import bottleneck
from tasks.tuning.params import TrainParams

_FP32 = 4


@dataclass(frozen=True)
class Generation:
    """What evaluation takes, in bytes.

    Attributes:
        peak: by part (``weights``, ``cache``, ``activations``, ``logits``) at the moment that takes most.
        cache: keys and values at most: of a batch whose answers have their full length, or the room of the slots.
    """

    peak: dict[str, int]
    cache: int


def plan_generation(
    params: TrainParams, base: BaseModel, prompts: Sequence[int], generation: GenerationParams
) -> Generation:
    """``prompts``: lengths in tokens. The moment is the one that takes most: prompts are read, or the cache is full."""
    dtype = torch.bfloat16 if device.use_bf16(generation.precision) else torch.float32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = untrained(base, torch.float32)
            if params.method == "adapter":
                assert params.adapter is not None
                bottleneck.attach(model, params.adapter.size, params.adapter.targets, "adapter.targets")
            model = model.eval().to(dtype)
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device.device()), torch.no_grad():
            materialise(model)
            weights = storage_bytes(tensors_of(model))
            slots = base.kind == "causal" and generation.num_beams == 1 and suits(model)
            virtual = _virtual_tokens(params)
            if slots:
                moments = _in_slots(model, [length + virtual for length in prompts], generation)
            else:
                moments = _in_batches(model, base.kind, prompts, virtual, generation)
    peak = max(moments, key=lambda parts: sum(parts.values()))
    return Generation({"weights": weights} | peak, moments[-1]["cache"])


def smaller_generation(
    params: TrainParams,
    base: BaseModel,
    prompts: Sequence[int],
    generation: GenerationParams,
    planned: Generation,
    free: int,
) -> str:
    """What to write under ``evaluation.generation`` so that answers fit into ``free`` bytes, in words: fewer rows at
    once, which are the same answers, and then weights in bf16, which are others.

    ``prompts``: lengths in tokens. ``planned``: what does not fit, of ``generation`` as it is.
    """
    least = generation.num_beams * (bucket(max(prompts) + _virtual_tokens(params)) + generation.max_new_tokens)
    budgets = [generation.token_budget]
    while budgets[-1] > least:
        budgets.append(max(budgets[-1] // 2, least))
    lighter: list[dict[str, Any]] = [] if device.use_bf16(generation.precision) else [{"precision": "bf16"}]
    peak = planned.peak
    for precision in ({}, *lighter):
        for budget in budgets:
            patch = precision | ({"token_budget": budget} if budget != generation.token_budget else {})
            if patch:
                peak = plan_generation(params, base, prompts, generation.model_copy(update=patch)).peak
            if sum(peak.values()) <= free:
                return f"with {written({'evaluation': {'generation': patch}})} it needs {gb(sum(peak.values()))} GB"
            if peak["weights"] > free:  # then no budget fits
                break
    if peak["weights"] > free:
        need, remedy = f"the weights alone need {gb(peak['weights'])}", "take a smaller base model"
    else:
        need, remedy = f"one row at a time needs {gb(sum(peak.values()))}", "lower max_new_tokens or num_beams"
    return f"{need} GB in bf16, {gb(free)} GB are free; {remedy}"


def plan_merging(
    step: Step, params: TrainParams, base: BaseModel, precision: device.Precision
) -> dict[str, int] | None:
    """Bytes by part (``weights``, ``temporary``) while trained adapters become part of the weights; None where none do.

    The sum is made in fp32, a matrix at a time, and then rounded, a tensor at a time. ``step``: of the training.
    """
    if params.method in ("none", "full", "adapter", *SOFT):
        return None
    with torch.device("meta"):
        model = untrained(base, torch.float32)
    weights = _FP32 * step.trainable + storage_bytes(tensors_of(model))
    matrix = max((m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)), default=0)
    largest = max(p.numel() for p in model.parameters())
    rounded = largest * 2 if device.use_bf16(precision) else 0
    # Of a quantised base the packed weights are there as well: they are what the matrices are made from.
    packed = step.weights - _FP32 * step.trainable if params.method == "qlora" else 0
    return {"weights": weights + packed, "temporary": max(_FP32 * matrix, rounded)}


def _virtual_tokens(params: TrainParams) -> int:
    block = getattr(params, params.method, None) if params.method in SOFT else None
    return block.virtual_tokens if block else 0


Moments = list[dict[str, int]]
"""Bytes by part at those that may take most; the last is the one whose cache is full."""


def _in_slots(model: Any, prompts: Sequence[int], generation: GenerationParams) -> Moments:
    """Of the pass that has most tokens, and of one with the widest slots full and with the most slots full."""
    new = generation.max_new_tokens
    widths = sorted((prompt + new for prompt in prompts), reverse=True)
    slots, counter, found = Slots(model, room(widths, generation.token_budget)), StorageCounter(), []
    each = 1 + min(DRAFTS, new - 1)

    def full(width: int) -> tuple[int, int, list[int]]:
        return width, min(len(widths), slots.room // width), []

    reading = []
    for place, width in enumerate(widths):
        lengths = [wide - new for wide in widths[place : place + slots.room // width]]
        read = lengths[: together(lengths)]
        # Before the first prompts are read no row is under way.
        reading.append((width, min(slots.room // width - len(read), place), read))
    most = max(reading, key=lambda one: one[1] * each + sum(one[2]))
    with counter:
        for width, under_way, read in (most, full(widths[0]), full(widths[-1])):
            counter.restart()
            slots.resize(width)
            rows = [([0] * each, width - each)] * under_way
            with counter.part("activations"), output_layer_at(model, under_way * each + len(read), counter):
                logits = slots.run(rows, [[0] * length for length in read])
            found.append(_slot_parts(slots, logits, counter))
            del logits
    return found


def _slot_parts(slots: Slots, logits: Tensor, counter: StorageCounter) -> dict[str, int]:
    with counter.part("logits"):
        logits.float()
    return _parts(counter, slots.held)


def _in_batches(model: Any, kind: str, prompts: Sequence[int], virtual: int, generation: GenerationParams) -> Moments:
    """Of the batch of evaluation with most tokens, all beams included."""
    chosen = max(
        batches(prompts, generation), key=lambda rows: len(rows) * (prompts[rows[0]] + generation.max_new_tokens)
    )
    rows, width = len(chosen) * generation.num_beams, max(prompts[index] for index in chosen) + virtual
    counter = StorageCounter()
    with counter:
        return [_first(model, kind, rows, width, counter), _last(model, kind, rows, width, generation, counter)]


def _first(model: Any, kind: str, rows: int, width: int, counter: StorageCounter) -> dict[str, int]:
    """The prompts are read."""
    past = _call(model, counter, **_prompts(kind, rows, width, 1)).past_key_values
    return _parts(counter, _held(past))


def _last(
    model: Any, kind: str, rows: int, width: int, generation: GenerationParams, counter: StorageCounter
) -> dict[str, int]:
    """One more token behind all others."""
    said = max(1, generation.max_new_tokens - 1)
    seen = width if kind == "seq2seq" else width + said
    output = _call(model, counter, **_prompts(kind, rows, seen, said))
    past = output.past_key_values
    token, mask = torch.zeros(rows, 1, dtype=torch.long), torch.ones(rows, seen, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": token, "attention_mask": nn.functional.pad(mask, (0, 1), value=1)}
    if kind == "seq2seq":
        encoded = BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)
        inputs = {"encoder_outputs": encoded, "attention_mask": mask, "decoder_input_ids": token}
    del output
    counter.restart()
    _call(model, counter, **inputs, past_key_values=past)
    return _parts(counter, _held(past))


def _call(model: Any, counter: StorageCounter, **inputs: Any) -> Any:
    with counter.part("activations"), output_layer_at(model, inputs["attention_mask"].shape[0], counter):
        output = model(**inputs, use_cache=True)
    with counter.part("logits"):
        output.logits.float()
    return output


def _prompts(kind: str, rows: int, width: int, said: int) -> dict[str, Tensor]:
    mask = torch.ones(rows, width, dtype=torch.long)
    mask[0, 0] = 0  # rows are padded on the left
    found = {"input_ids": torch.zeros(rows, width, dtype=torch.long), "attention_mask": mask}
    return found | ({"decoder_input_ids": torch.zeros(rows, said, dtype=torch.long)} if kind == "seq2seq" else {})


def _held(past: Any) -> list[Tensor]:
    caches = (
        (past.self_attention_cache, past.cross_attention_cache) if hasattr(past, "cross_attention_cache") else [past]
    )
    return [t for cache in caches for layer in cache.layers for t in (layer.keys, layer.values)]


def _parts(counter: StorageCounter, held: Sequence[Tensor]) -> dict[str, int]:
    """A cache is made by an operation like any activation: it is told apart by its size."""
    cache = sum(tensor.untyped_storage().nbytes() for tensor in held)
    logits = counter.peak["logits"]
    return {"cache": cache, "activations": max(0, counter.peak.total() - cache - logits), "logits": logits}
