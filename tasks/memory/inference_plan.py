"""Plan the memory of a trained model: generation with its key-value cache, and the merging of adapters."""

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
from tasks.inference.slots import Slots, read_together, room, suits
from tasks.memory.fit import gb, written
from tasks.memory.simulate import Step, materialise, output_layer_at, storage_bytes, tensors_of
from tasks.memory.storage_counter import StorageCounter
from tasks.model.base_models import BaseModel, untrained
from tasks.model.batches import bucket
from tasks.tuning import methods
from tasks.tuning.params import ExperimentParams, TrainedParams

_FP32 = 4


@dataclass(frozen=True)
class Generation:
    """Memory of generation, in bytes.

    Attributes:
        peak: bytes by part (``weights``, ``cache``, ``activations``, ``logits``) at the moment that takes most.
        cache: highest bytes of keys and values: of a batch with outputs of full length, or of all slots.
    """

    peak: dict[str, int]
    cache: int


def plan_generation(
    params: ExperimentParams, base: BaseModel, prompts: Sequence[int], generation: GenerationParams
) -> Generation:
    """Plan generation for ``prompts`` (lengths in tokens).

    The peak is the worse of two moments: the model reads prompts, or its cache is full.
    """
    dtype = torch.bfloat16 if device.use_bf16(generation.precision) else torch.float32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device("meta"):
            model = untrained(base, torch.float32)
            methods.named(params.method).add_layers(model, params)
            model = model.eval().to(dtype)
        with FakeTensorMode(allow_non_fake_inputs=True), torch.device(device.device()), torch.no_grad():
            materialise(model)
            weights = storage_bytes(tensors_of(model))
            slots = base.kind == "causal" and generation.num_beams == 1 and suits(model)
            virtual = methods.named(params.method).virtual_tokens(params)
            if slots:
                moments = _in_slots(model, [length + virtual for length in prompts], generation)
            else:
                moments = _in_batches(model, base.kind, prompts, virtual, generation)
    peak = max(moments, key=lambda parts: sum(parts.values()))
    return Generation({"weights": weights} | peak, moments[-1]["cache"])


def smaller_generation(
    params: ExperimentParams,
    base: BaseModel,
    prompts: Sequence[int],
    generation: GenerationParams,
    planned: Generation,
    free: int,
) -> str:
    """Name the change of ``evaluation.generation`` with which generation fits into ``free`` bytes.

    Fewer rows at once come first: the outputs stay the same. Weights in bf16 come second: the outputs change.

    Args:
        prompts: lengths in tokens.
        planned: the plan of ``generation`` as it is, which does not fit.
    """
    longest = max(prompts) + methods.named(params.method).virtual_tokens(params)
    least = generation.num_beams * (bucket(longest) + generation.max_new_tokens)
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
            if peak["weights"] > free:  # no budget fits
                break
    if peak["weights"] > free:
        need, remedy = f"the weights alone need {gb(peak['weights'])}", "take a smaller base model"
    else:
        need, remedy = f"one row at a time needs {gb(sum(peak.values()))}", "lower max_new_tokens or num_beams"
    return f"{need} GB in bf16, {gb(free)} GB are free; {remedy}"


def plan_merging(
    step: Step, params: TrainedParams, base: BaseModel, precision: device.Precision
) -> dict[str, int] | None:
    """Plan the merging of adapters into the weights: bytes by part (``weights``, ``temporary``).

    Return None for a method without adapters to merge. Matrices are added in fp32 one by one, and then rounded one
    by one. ``step`` is the planned step of the training. The random factors of ``vera``, which all matrices share, are
    left out.
    """
    method = methods.named(params.method)
    if not method.merges:
        return None
    with torch.device("meta"):
        model = untrained(base, torch.float32)
    weights = _FP32 * step.trainable + storage_bytes(tensors_of(model))
    matrix = max((m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)), default=0)
    largest = max(p.numel() for p in model.parameters())
    rounded = largest * 2 if device.use_bf16(precision) else 0
    # A quantised base holds its packed weights as well: the matrices are unpacked from them.
    packed = step.weights - _FP32 * step.trainable if method.quantisation(params) else 0
    return {"weights": weights + packed, "temporary": max(_FP32 * matrix, rounded)}


Moments = list[dict[str, int]]
"""Bytes by part at the moments that may take most; the last is the one with the full cache."""


def _in_slots(model: Any, prompts: Sequence[int], generation: GenerationParams) -> Moments:
    """Plan the pass with most tokens, a pass with the widest slots full, and a pass with the most slots full."""
    new = generation.max_new_tokens
    widths = sorted((prompt + new for prompt in prompts), reverse=True)
    slots, counter = Slots(model, room(widths, generation.token_budget)), StorageCounter()

    def full(width: int) -> tuple[int, int, list[int]]:
        return width, min(len(widths), slots.room // width), []

    reading = []
    for index, width in enumerate(widths):
        lengths = [wide - new for wide in widths[index : index + slots.room // width]]
        read = lengths[: read_together(lengths)]
        # No row generates before the first prompts are read.
        reading.append((width, min(slots.room // width - len(read), index), read))
    most = max(reading, key=lambda candidate: candidate[1] + sum(candidate[2]))
    moments = []
    with counter:
        for width, generating, read in (most, full(widths[0]), full(widths[-1])):
            counter.restart()
            slots.resize(width)
            rows = [(0, width - 1)] * generating
            with counter.part("activations"), output_layer_at(model, generating + len(read), counter):
                logits = slots.run(rows, [[0] * length for length in read])
            moments.append(_slot_parts(slots, logits, counter))
            del logits
    return moments


def _slot_parts(slots: Slots, logits: Tensor, counter: StorageCounter) -> dict[str, int]:
    with counter.part("logits"):
        logits.float()
    return _parts(counter, slots.held)


def _in_batches(model: Any, kind: str, prompts: Sequence[int], virtual: int, generation: GenerationParams) -> Moments:
    """Plan the batch with most tokens, all beams included: its first pass and its last."""
    largest = max(
        batches(prompts, generation), key=lambda rows: len(rows) * (prompts[rows[0]] + generation.max_new_tokens)
    )
    rows, width = len(largest) * generation.num_beams, max(prompts[index] for index in largest) + virtual
    counter = StorageCounter()
    with counter:
        return [
            _first_pass(model, kind, rows, width, counter),
            _last_pass(model, kind, rows, width, generation.max_new_tokens, counter),
        ]


def _first_pass(model: Any, kind: str, rows: int, width: int, counter: StorageCounter) -> dict[str, int]:
    """Plan the pass that reads the prompts."""
    past = _call(model, counter, **_inputs(kind, rows, width, 1)).past_key_values
    return _parts(counter, _tensors(past))


def _last_pass(
    model: Any, kind: str, rows: int, width: int, max_new_tokens: int, counter: StorageCounter
) -> dict[str, int]:
    """Plan the pass that generates the last token."""
    generated = max(1, max_new_tokens - 1)
    length = width if kind == "seq2seq" else width + generated
    output = _call(model, counter, **_inputs(kind, rows, length, generated))
    past = output.past_key_values
    token, mask = torch.zeros(rows, 1, dtype=torch.long), torch.ones(rows, length, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": token, "attention_mask": nn.functional.pad(mask, (0, 1), value=1)}
    if kind == "seq2seq":
        encoded = BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)
        inputs = {"encoder_outputs": encoded, "attention_mask": mask, "decoder_input_ids": token}
    del output
    counter.restart()
    _call(model, counter, **inputs, past_key_values=past)
    return _parts(counter, _tensors(past))


def _call(model: Any, counter: StorageCounter, **inputs: Any) -> Any:
    rows = inputs["attention_mask"].shape[0]
    with counter.part("activations"), output_layer_at(model, rows, counter):
        output = model(**inputs, use_cache=True)
    with counter.part("logits"):
        output.logits.float()
    return output


def _inputs(kind: str, rows: int, width: int, generated: int) -> dict[str, Tensor]:
    mask = torch.ones(rows, width, dtype=torch.long)
    mask[0, 0] = 0  # rows are padded on the left
    inputs = {"input_ids": torch.zeros(rows, width, dtype=torch.long), "attention_mask": mask}
    if kind == "seq2seq":
        inputs["decoder_input_ids"] = torch.zeros(rows, generated, dtype=torch.long)
    return inputs


def _tensors(past: Any) -> list[Tensor]:
    """Keys and values of a cache."""
    caches = (
        (past.self_attention_cache, past.cross_attention_cache) if hasattr(past, "cross_attention_cache") else [past]
    )
    return [t for cache in caches for layer in cache.layers for t in (layer.keys, layer.values)]


def _parts(counter: StorageCounter, held: Sequence[Tensor]) -> dict[str, int]:
    """Split the peak by part; a cache is allocated like any activation, so its size tells it apart."""
    cache = sum(tensor.untyped_storage().nbytes() for tensor in held)
    logits = counter.peak["logits"]
    return {"cache": cache, "activations": max(0, counter.peak.total() - cache - logits), "logits": logits}
