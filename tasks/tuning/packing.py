"""Rows packed into one sequence without padding, each attending to itself alone, and the check that it does."""

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
from tasks.model.batches import IGNORED, collate, token_budget_batches
from tasks.model.likelihood import logits_at_labels, supervised_logits
from tasks.model.rendering import Encoded
from tasks.model.unwrap import unwrapped
from tasks.tuning.params import LoopParams, TrainParams

logger = logging.getLogger("tunesmith")

TOLERANCE = 1e-4
"""Most that the loss of a token may differ on average, as a share of the loss, in fp32: a thousand times what rounding
makes of it in tiny models (up to 7e-8)."""

TOLERANCE_BF16 = 1e-2
"""The same where a quantised base computes in bf16, of which the rounding of a number alone is 4e-3."""

_CHECKED_ROWS = 4
_SWAPS = 4


def batches_of(loop: LoopParams) -> Callable[..., list[list[int]]]:
    """What makes batches of ``(lengths, budget, seed=None)``."""
    return packed_batches if loop.packing else token_budget_batches


def packed_batches(lengths: Sequence[int], budget: int, seed: int | None = None) -> list[list[int]]:
    """Indices in batches of at most ``budget`` tokens without padding; a longer row is a batch of its own.

    Each row goes, the longest first, where it leaves least room (best fit decreasing). With a seed, pairs of rows
    change places where both batches have room, and batches are shuffled; their number does not depend on the seed, as
    a schedule over epochs needs.
    """
    batches: list[list[int]] = []
    room: list[tuple[int, int]] = []  # left in a batch, and its number; sorted
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        place = bisect.bisect_left(room, (lengths[index], -1))
        left, number = room.pop(place) if place < len(room) else (budget, len(batches))
        if number == len(batches):
            batches.append([])
        batches[number].append(index)
        bisect.insort(room, (left - lengths[index], number))
    if seed is not None:
        _shuffle(batches, lengths, {number: left for left, number in room}, random.Random(seed))
    return batches


def _shuffle(batches: list[list[int]], lengths: Sequence[int], room: dict[int, int], shuffler: random.Random) -> None:
    places = [(number, at) for number, batch in enumerate(batches) for at in range(len(batch))]
    for _ in range(_SWAPS * len(places)):
        (one, i), (other, j) = shuffler.choice(places), shuffler.choice(places)
        longer = lengths[batches[one][i]] - lengths[batches[other][j]]
        if -room[one] <= longer <= room[other]:
            batches[one][i], batches[other][j] = batches[other][j], batches[one][i]
            room[one] += longer
            room[other] -= longer
    shuffler.shuffle(batches)


def collate_packed(rows: Sequence[Encoded], kind: str) -> dict[str, Tensor]:
    """The tensors of ``tasks.model.batches.collate`` for one sequence (1, T), and ``position_ids`` that begin at 0
    with each row; for ``seq2seq`` models also ``decoder_position_ids`` (1, T_decoder)."""
    if kind == "seq2seq":
        inputs, labels = [row.prompt for row in rows], [row.completion for row in rows]
    else:
        inputs = [row.prompt + row.completion for row in rows]
        # What stands first in a row is predicted by nothing of that row.
        labels = [([IGNORED] * len(row.prompt) + row.completion)[1:] for row in rows]
        labels = [[IGNORED, *label] for label in labels]
    found = {
        "input_ids": _joined(inputs),
        "attention_mask": _joined([[1] * len(ids) for ids in inputs]),
        "labels": _joined(labels),
        "position_ids": _joined([range(len(ids)) for ids in inputs]),
    }
    if kind == "seq2seq":
        found["decoder_position_ids"] = _joined([range(len(label)) for label in labels])
    return found


def _joined(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([[value for row in rows for value in row]])


def packed_logits(model: Any, batch: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """``tasks.model.likelihood.supervised_logits`` for a batch of ``collate_packed``; all is of row 0."""
    labels = batch["labels"]
    if kind != "seq2seq":
        # Given positions and no mask, transformers finds where rows begin (``find_packed_sequence_indices`` in
        # masking_utils.py, 5.x): its mask is block-diagonal, sliding windows included, and flash attention takes
        # sequences of their lengths.
        inputs = {key: batch[key] for key in ("input_ids", "position_ids")}
        return logits_at_labels(model, inputs, labels, kind)
    source, target = _row_of(batch["position_ids"]), _row_of(batch["decoder_position_ids"])
    shifted = unwrapped(model).prepare_decoder_input_ids_from_labels(labels=labels)
    inputs = {
        "input_ids": batch["input_ids"],
        "attention_mask": _additive(source == source.mT),
        "decoder_attention_mask": _additive((target == target.mT).tril()),
        # Each row begins with the token that the decoder begins with, not with the last of the row before.
        "decoder_input_ids": shifted.where(batch["decoder_position_ids"] > 0, shifted[:, :1]),
    }
    with _cross_attention(model, _additive(source == target.mT)):
        return logits_at_labels(model, inputs, labels, kind)


def _row_of(positions: Tensor) -> Tensor:
    """(1, 1, T): to which row each token of a sequence belongs."""
    return (positions == 0).cumsum(-1)[:, None]


def _additive(attends: Tensor) -> Tensor:
    """(1, 1, T, T): what is added to attention scores; a mask of four dimensions is taken as it is."""
    return torch.zeros(attends.shape, device=attends.device).masked_fill(~attends, torch.finfo().min)[:, None]


@contextmanager
def _cross_attention(model: Any, mask: Tensor) -> Iterator[None]:
    """Models hand the decoder the encoder's mask, which has the encoder's length in both dimensions."""

    def exchange(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"encoder_attention_mask": mask}

    handle = unwrapped(model).get_decoder().register_forward_pre_hook(exchange, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Parity:
    """The same rows packed and each alone, in nats a supervised token.

    Attributes:
        packed: loss; not a number where the model takes no packed rows.
        alone: loss.
        difference: between the losses of a token, on average; differences of tokens do not cancel.
        refusal: what the model raised for packed rows.
    """

    packed: float
    alone: float
    difference: float
    refusal: str = ""


def keeps_parity(model: Any, rows: list[Encoded], kind: str, pad: int, params: TrainParams) -> bool:
    """Whether ``model`` predicts packed rows as it does each alone, within the tolerance; else a warning says so."""
    assert params.training is not None
    if params.quantisation is None:  # a quantised base is there already
        model.to(device.device())
    batches = packed_batches([len(row) for row in rows], params.training.token_budget)
    batch = next((batch for batch in batches if len(batch) > 1), batches[0])
    found = parity(model, [rows[index] for index in batch[:_CHECKED_ROWS]], kind, pad)
    bf16 = params.quantisation is not None and device.use_bf16(params.training.precision)
    tolerance = TOLERANCE_BF16 if bf16 else TOLERANCE
    if found.difference <= tolerance * found.alone:
        return True
    logger.warning(
        "packing is off: method %s must predict packed rows as it does each alone; the loss is %.6f packed and %.6f "
        "alone, of a token %.2g apart on average (tolerance %.2g)%s",
        params.method,
        found.packed,
        found.alone,
        found.difference,
        tolerance * found.alone,
        f"; the model said: {found.refusal}" if found.refusal else "",
    )
    return False


@torch.no_grad()
def parity(model: Any, rows: Sequence[Encoded], kind: str, pad: int) -> Parity:
    """Losses of ``rows`` packed into one sequence, and of each row alone; without dropout, not in lower precision."""
    was_training, refusal = model.training, ""
    model.eval()
    alone = torch.cat([_losses(supervised_logits, model, collate([row], kind, pad), kind) for row in rows])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft: soft prompts ignore positions
            packed = _losses(packed_logits, model, collate_packed(rows, kind), kind)
    except (TypeError, ValueError, RuntimeError) as error:
        packed = torch.full_like(alone, torch.nan)
        refusal = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    model.train(was_training)
    return Parity(packed.mean().item(), alone.mean().item(), (packed - alone).abs().mean().item(), refusal)


def _losses(logits_of: Any, model: Any, batch: dict[str, Tensor], kind: str) -> Tensor:
    place = next(model.parameters()).device
    logits, targets, _ = logits_of(model, {key: value.to(place) for key, value in batch.items()}, kind)
    return functional.cross_entropy(logits.float(), targets, reduction="none").double()
