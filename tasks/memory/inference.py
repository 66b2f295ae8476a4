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

from tasks import bottleneck, device
from tasks.base_models import BaseModel, untrained
from tasks.evaluate.generate import batches
from tasks.evaluate.params import GenerationParams
from tasks.memory.live import Live
from tasks.memory.simulate import Step, materialise, output_layer_at, storage_bytes, tensors_of
from tasks.train.params import TrainParams
from tasks.tuned import SOFT

_FP32 = 4


@dataclass(frozen=True)
class Generation:
    """What evaluation takes, in bytes.

    Attributes:
        peak: by part (``weights``, ``cache``, ``activations``, ``logits``) at the moment that takes most.
        cache: keys and values when every answer has its full length.
    """

    peak: dict[str, int]
    cache: int


def plan_generation(
    params: TrainParams, base: BaseModel, prompts: Sequence[int], generation: GenerationParams
) -> Generation:
    """``prompts``: lengths in tokens. The batch is the one of evaluation with most tokens, all beams included; its
    first step reads the prompts, its last the whole cache.
    """
    chosen = max(
        batches(prompts, generation), key=lambda rows: len(rows) * (prompts[rows[0]] + generation.max_new_tokens)
    )
    rows = len(chosen) * generation.num_beams
    width = max(prompts[index] for index in chosen) + _virtual_tokens(params)
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
            live = Live()
            with live:
                first = _first(model, base.kind, rows, width, live)
                last = _last(model, base.kind, rows, width, generation, live)
    peak = max((first, last), key=lambda parts: sum(parts.values()))
    return Generation({"weights": weights} | peak, last["cache"])


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


def _first(model: Any, kind: str, rows: int, width: int, live: Live) -> dict[str, int]:
    """The prompts are read."""
    past = _call(model, live, **_prompts(kind, rows, width, 1)).past_key_values
    return _parts(live, past)


def _last(model: Any, kind: str, rows: int, width: int, generation: GenerationParams, live: Live) -> dict[str, int]:
    """One more token behind all others."""
    said = max(1, generation.max_new_tokens - 1)
    seen = width if kind == "seq2seq" else width + said
    output = _call(model, live, **_prompts(kind, rows, seen, said))
    past = output.past_key_values
    token, mask = torch.zeros(rows, 1, dtype=torch.long), torch.ones(rows, seen, dtype=torch.long)
    inputs: dict[str, Any] = {"input_ids": token, "attention_mask": nn.functional.pad(mask, (0, 1), value=1)}
    if kind == "seq2seq":
        encoded = BaseModelOutput(last_hidden_state=output.encoder_last_hidden_state)
        inputs = {"encoder_outputs": encoded, "attention_mask": mask, "decoder_input_ids": token}
    del output
    live.restart()
    _call(model, live, **inputs, past_key_values=past)
    return _parts(live, past)


def _call(model: Any, live: Live, **inputs: Any) -> Any:
    with live.part("activations"), output_layer_at(model, inputs["attention_mask"].shape[0], live):
        output = model(**inputs, use_cache=True)
    with live.part("logits"):
        output.logits.float()
    return output


def _prompts(kind: str, rows: int, width: int, said: int) -> dict[str, Tensor]:
    mask = torch.ones(rows, width, dtype=torch.long)
    mask[0, 0] = 0  # rows are padded on the left
    found = {"input_ids": torch.zeros(rows, width, dtype=torch.long), "attention_mask": mask}
    return found | ({"decoder_input_ids": torch.zeros(rows, said, dtype=torch.long)} if kind == "seq2seq" else {})


def _parts(live: Live, past: Any) -> dict[str, int]:
    """The cache grows by new tensors, which an operation makes like any activation: it is told apart by its size."""
    caches = (
        (past.self_attention_cache, past.cross_attention_cache) if hasattr(past, "cross_attention_cache") else [past]
    )
    held = [t for cache in caches for layer in cache.layers for t in (layer.keys, layer.values)]
    cache = sum(tensor.untyped_storage().nbytes() for tensor in held)
    logits = live.peak["logits"]
    return {"cache": cache, "activations": max(0, live.peak.total() - cache - logits), "logits": logits}
