"""Plan the memory of a training from its parameters, the model's config and the lengths of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from tasks.core import device
from tasks.memory.packed_linear import pack
from tasks.memory.simulate import Batch, Step, training_step
from tasks.model.base_models import BaseModel, untrained
from tasks.model.batches import token_budget_batches
from tasks.model.encoded import Encoded
from tasks.tuning import methods
from tasks.tuning.packing import packed_batches
from tasks.tuning.params import TrainedParams
from tasks.tuning.prepare import prepare
from tasks.tuning.sampling import optimizer_steps

_HOLES, _HOLES_QUANTISED = 0.5, 0.75
"""Heap of a CPU process, as a share of the activations, logits and temporaries of a step.

The C library keeps freed memory in holes that do not fit the next tensor. A quantised base leaves more of them, since
each pass unpacks matrices. Fitted to measurements of four methods (bench/RESULTS.md)."""


def plan_training(params: TrainedParams, base: BaseModel, rows: Sequence[Encoded]) -> Step:
    """Plan the largest step of a training on ``rows``; no weights are read.

    The plan is for this machine's kind of device, in the precision that training uses on it. On a CPU it has a
    ``heap``.
    """
    loop = params.training
    method = methods.named(params.method)
    params = method.for_planning(params)
    quantisation = method.quantisation(params)
    bf16 = device.use_bf16(loop.precision)
    steps = optimizer_steps(list(rows), loop)

    def prepared() -> Any:
        return prepare(base, params, steps, untrained)

    def quantise(model: Any) -> None:
        if quantisation is not None:
            pack(model, quantisation, torch.bfloat16 if bf16 else torch.float32)

    packing = loop.packing and not method.virtual_tokens(params)  # rows behind a soft prompt are never packed
    batch = largest_batch(rows, base.kind, loop.token_budget, packing)
    step = training_step(prepared, batch, base.kind, bf16, device.device().type, quantise)
    if device.device().type != "cpu":
        return step
    share = _HOLES if quantisation is None else _HOLES_QUANTISED
    heap = {"heap": round(share * sum(step.peak[part] for part in ("activations", "logits", "temporary")))}
    return replace(step, peak=step.peak | heap, held=step.held | heap)


def largest_batch(rows: Sequence[Encoded], kind: str, budget: int, packing: bool = False) -> Batch:
    """Return the shape of the largest batch by tokens, padding included; among equals, by supervised tokens."""
    shapes = []
    batches = packed_batches if packing else token_budget_batches
    width = sum if packing else max
    for indices in batches([len(row) for row in rows], budget):
        members = [rows[index] for index in indices]
        supervised = sum(row.supervised for row in members)
        inputs = [len(row.prompt) if kind == "seq2seq" else len(row) for row in members]
        labels = width(len(row.completion) for row in members) if kind == "seq2seq" else 0
        # Packed rows need a mask, as padded rows do.
        masked = packing or min(inputs) < max(inputs)
        shapes.append(Batch(1 if packing else len(members), width(inputs), supervised, labels, masked))
    return max(shapes, key=lambda shape: (shape.rows * (shape.width + shape.labels), shape.supervised))
