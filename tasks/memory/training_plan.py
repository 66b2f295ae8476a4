"""What the training of an experiment takes, from its parameters, the model's config and the lengths of its rows."""

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
from tasks.model.rendering import Encoded
from tasks.tuning.load import SOFT
from tasks.tuning.methods import prepare
from tasks.tuning.packing import packed_batches
from tasks.tuning.params import TrainParams
from tasks.tuning.sampling import optimizer_steps

_HOLES, _HOLES_QUANTISED = 0.5, 0.75
"""Of what comes and goes within a step, what a CPU's resident set holds above it: the C library keeps freed memory in
holes that do not fit the next tensor; more where every pass unpacks matrices. Fitted to measurements of four methods
(bench/RESULTS.md)."""


def plan_training(params: TrainParams, base: BaseModel, rows: Sequence[Encoded]) -> Step:
    """The step that takes most of a training on ``rows``, computed on tensors that hold nothing: no weights are read.

    On this machine's kind of device and in the precision that training would have there; on a CPU with ``heap``.
    """
    assert params.training is not None
    loop = params.training
    for soft in ("prompt_tuning", "p_tuning"):  # to begin from words needs a tokenizer and takes nothing more
        if (given := getattr(params, soft)) is not None:
            params = params.model_copy(update={soft: given.model_copy(update={"initial": "random"})})
    bf16 = device.use_bf16(loop.precision)
    steps = optimizer_steps(list(rows), loop)

    def model() -> Any:
        if params.method != "qlora":
            return prepare(base, params, steps, untrained)
        return prepare(base, params.model_copy(update={"method": "lora"}), steps, untrained)

    def quantise(made: Any) -> None:
        if params.quantisation is not None:
            pack(made, params.quantisation, torch.bfloat16 if bf16 else torch.float32)

    # What trains a soft prompt never packs, whatever is asked for.
    batch = largest_batch(rows, base.kind, loop.token_budget, loop.packing and params.method not in SOFT)
    step = training_step(model, batch, base.kind, bf16, device.device().type, quantise)
    if device.device().type != "cpu":
        return step
    share = _HOLES if params.quantisation is None else _HOLES_QUANTISED
    heap = {"heap": round(share * sum(step.peak[part] for part in ("activations", "logits", "temporary")))}
    return replace(step, peak=step.peak | heap, held=step.held | heap)


def largest_batch(rows: Sequence[Encoded], kind: str, budget: int, packing: bool = False) -> Batch:
    """The batch with most tokens, padding included; of several the one with most to learn."""
    shapes = []
    batches = packed_batches if packing else token_budget_batches
    width = sum if packing else max
    for indices in batches([len(row) for row in rows], budget):
        members = [rows[index] for index in indices]
        supervised = sum(len(row.completion) for row in members)
        read = [len(row.prompt) if kind == "seq2seq" else len(row) for row in members]
        labels = width(len(row.completion) for row in members) if kind == "seq2seq" else 0
        # Packed rows need a mask as padded ones do.
        masked = packing or min(read) < max(read)
        shapes.append(Batch(1 if packing else len(members), width(read), supervised, labels, masked))
    return max(shapes, key=lambda shape: (shape.rows * (shape.width + shape.labels), shape.supervised))
