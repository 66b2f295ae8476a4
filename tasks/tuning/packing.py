"""Packing: several rows in one sequence without padding, each attending only to itself."""

from __future__ import annotations

import bisect
import logging
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.core import device
from tasks.model.batches import collate, token_budget_batches
from tasks.model.encoded import IGNORED, Encoded
from tasks.model.likelihood import logits_at_labels, supervised_logits
from tasks.model.unwrap import unwrapped
from tasks.tuning import methods
from tasks.tuning.params import LoopParams, TrainedParams

logger = logging.getLogger("tunesmith")

TOLERANCE = 1e-4
"""Highest mean difference between the losses of a token, packed and alone, as a share of the loss, in fp32.

Rounding alone makes up to 7e-8 in tiny models."""

TOLERANCE_BF16 = 1e-2
"""The same for a quantised base that computes in bf16, where rounding one number alone makes 4e-3."""

_CHECKED_ROWS = 4
_SWAPS = 4


def batches_of(loop: LoopParams) -> Callable[..., list[list[int]]]:
    """Return the function that makes batches from ``(lengths, budget, seed=None)``."""
    return packed_batches if loop.packing else token_budget_batches


def packed_batches(lengths: Sequence[int], budget: int, seed: int | None = None) -> list[list[int]]:
    """Put row indices into batches of at most ``budget`` tokens without padding; a longer row is a batch of its own.

    The longest rows come first, and each goes into the batch that it fills best (best fit decreasing). With a seed,
    pairs of rows swap batches where both still fit, and batches are shuffled. The number of batches does not depend on
    the seed, as a schedule over epochs needs.
    """
    batches: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (free tokens, number) of each batch, sorted
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        position = bisect.bisect_left(free, (lengths[index], -1))
        left, number = free.pop(position) if position < len(free) else (budget, len(batches))
        if number == len(batches):
            batches.append([])
        batches[number].append(index)
        bisect.insort(free, (left - lengths[index], number))
    if seed is not None:
        _shuffle(batches, lengths, {number: left for left, number in free}, random.Random(seed))
    return batches


def _shuffle(batches: list[list[int]], lengths: Sequence[int], free: dict[int, int], rng: random.Random) -> None:
    positions = [(number, position) for number, batch in enumerate(batches) for position in range(len(batch))]
    for _ in range(_SWAPS * len(positions)):
        (a, i), (b, j) = rng.choice(positions), rng.choice(positions)
        longer = lengths[batches[a][i]] - lengths[batches[b][j]]
        if -free[a] <= longer <= free[b]:
            batches[a][i], batches[b][j] = batches[b][j], batches[a][i]
            free[a] += longer
            free[b] -= longer
    rng.shuffle(batches)


def collate_packed(rows: Sequence[Encoded], kind: str) -> dict[str, Tensor]:
    """Return the tensors of ``tasks.model.batches.collate`` for one sequence (1, T), and ``position_ids``.

    Positions start at 0 with each row. ``seq2seq`` models also get ``decoder_position_ids`` (1, T_decoder).
    """
    if kind == "seq2seq":
        inputs, labels = [row.prompt for row in rows], [row.labels for row in rows]
    else:
        inputs = [row.prompt + row.completion for row in rows]
        # Nothing in a row predicts its first token.
        labels = [([IGNORED] * len(row.prompt) + row.labels)[1:] for row in rows]
        labels = [[IGNORED, *label] for label in labels]
    batch = {
        "input_ids": _joined(inputs),
        "attention_mask": _joined([[1] * len(ids) for ids in inputs]),
        "labels": _joined(labels),
        "position_ids": _joined([range(len(ids)) for ids in inputs]),
    }
    if kind == "seq2seq":
        batch["decoder_position_ids"] = _joined([range(len(label)) for label in labels])
    return batch


def _joined(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([[value for row in rows for value in row]])


def packed_logits(model: Any, batch: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """``tasks.model.likelihood.supervised_logits`` for a batch of ``collate_packed``; the row of each logit is 0."""
    labels = batch["labels"]
    if kind != "seq2seq":
        # From positions without a mask, transformers detects packed rows (``find_packed_sequence_indices`` in
        # masking_utils.py, 5.x). Its mask is block-diagonal, also with sliding windows; flash attention gets the
        # lengths of the rows.
        inputs = {key: batch[key] for key in ("input_ids", "position_ids")}
        return logits_at_labels(model, inputs, labels, kind)
    source, target = _row_of(batch["position_ids"]), _row_of(batch["decoder_position_ids"])
    shifted = unwrapped(model).prepare_decoder_input_ids_from_labels(labels=labels)
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": _additive(source == source.mT),
        "decoder_attention_mask": _additive((target == target.mT).tril()),
        # Each row starts with the decoder's start token, not with the last token of the row before.
        "decoder_input_ids": shifted.where(batch["decoder_position_ids"] > 0, shifted[:, :1]),
    }
    with _cross_attention(model, _additive(source == target.mT)):
        return logits_at_labels(model, inputs, labels, kind)


def _row_of(positions: Tensor) -> Tensor:
    """Return the number of the row that each token belongs to, (1, 1, T)."""
    return (positions == 0).cumsum(-1)[:, None]


def _additive(attends: Tensor) -> Tensor:
    """Return the mask to add to attention scores, (1, 1, T, T); models use a mask of four dimensions as it is."""
    return torch.zeros(attends.shape, device=attends.device).masked_fill(~attends, torch.finfo().min)[:, None]


@contextmanager
def _cross_attention(model: Any, mask: Tensor) -> Iterator[None]:
    """Give the decoder ``mask`` for its cross-attention.

    Models would give it the encoder's mask, which has the encoder's length in both dimensions.
    """

    def exchange(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"encoder_attention_mask": mask}

    handle = unwrapped(model).get_decoder().register_forward_pre_hook(exchange, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Parity:
    """Losses of the same rows packed and each alone, in nats per supervised token.

    Attributes:
        packed: loss of the packed rows; NaN if the model does not support packed rows.
        alone: loss of each row alone.
        difference: mean absolute difference between the losses of a token, so that differences do not cancel.
        error: what the model raised for packed rows.
    """

    packed: float
    alone: float
    difference: float
    error: str = ""


def keeps_parity(model: Any, rows: list[Encoded], kind: str, pad: int, params: TrainedParams) -> bool:
    """Check that ``model`` predicts packed rows as it predicts each alone, within the tolerance; warn if not."""
    quantised = methods.named(params.method).quantisation(params) is not None
    if not quantised:  # a quantised base is on the device already
        model.to(device.device())
    batches = packed_batches([len(row) for row in rows], params.training.token_budget)
    batch = next((batch for batch in batches if len(batch) > 1), batches[0])
    losses = parity(model, [rows[index] for index in batch[:_CHECKED_ROWS]], kind, pad)
    bf16 = quantised and device.use_bf16(params.training.precision)
    tolerance = TOLERANCE_BF16 if bf16 else TOLERANCE
    if losses.difference <= tolerance * losses.alone:
        return True
    logger.warning(
        "packing is off: method %s must predict packed rows as it predicts each alone; the loss is %.6f packed and "
        "%.6f alone, and the losses of a token differ by %.2g on average (tolerance %.2g)%s",
        params.method,
        losses.packed,
        losses.alone,
        losses.difference,
        tolerance * losses.alone,
        f"; the model raised {losses.error}" if losses.error else "",
    )
    return False


@torch.no_grad()
def parity(model: Any, rows: Sequence[Encoded], kind: str, pad: int) -> Parity:
    """Compare the losses of ``rows`` in one sequence with those of each row alone; no dropout, no autocast."""
    was_training, message = model.training, ""
    model.eval()
    alone = torch.cat([_losses(supervised_logits, model, collate([row], kind, pad), kind) for row in rows])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft: soft prompts ignore positions
            packed = _losses(packed_logits, model, collate_packed(rows, kind), kind)
    except (TypeError, ValueError, RuntimeError) as error:
        packed = torch.full_like(alone, torch.nan)
        message = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    model.train(was_training)
    return Parity(packed.mean().item(), alone.mean().item(), (packed - alone).abs().mean().item(), message)


def _losses(logits_of: Any, model: Any, batch: dict[str, Tensor], kind: str) -> Tensor:
    where = next(model.parameters()).device
    logits, targets, _ = logits_of(model, {key: value.to(where) for key, value in batch.items()}, kind)
    return functional.cross_entropy(logits.float(), targets, reduction="none").double()
