"""Batches by token budget, and their tensors, for training and evaluation."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.model.encoded import IGNORED, Encoded

_BUCKET = 16


def bucket(length: int) -> int:
    """Round ``length`` up to a multiple of 16; rows of one bucket are batched in any order."""
    return -(-length // _BUCKET) * _BUCKET


def token_budget_batches(lengths: Sequence[int], budget: int, seed: int | None = None) -> list[list[int]]:
    """Put row indices into batches of at most ``budget`` tokens with padding; a longer row is a batch of its own.

    Rows are ordered by bucket. With a seed, the rows of a bucket are shuffled, and so are the batches. The number of
    batches does not depend on the seed, as a schedule over epochs needs.
    """
    if not lengths:
        return []
    order = list(range(len(lengths)))
    shuffler = random.Random(seed)
    if seed is not None:
        shuffler.shuffle(order)
    order.sort(key=lambda index: bucket(lengths[index]))
    batches: list[list[int]] = [[]]
    for index in order:
        # Rows come in ascending order, so this row's bucket is the width of the batch that it joins.
        if batches[-1] and bucket(lengths[index]) * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(index)
    if seed is not None:
        shuffler.shuffle(batches)
    return batches


def collate(rows: Sequence[Encoded], kind: str, pad: int) -> dict[str, Tensor]:
    """Return ``input_ids``, ``attention_mask`` and ``labels`` (IGNORED where masked), each (B, T), padded on the right.

    For ``seq2seq`` models ``labels`` is (B, T_decoder). The attention mask comes from the lengths, never from the pad
    id, since the pad token of SmolLM2 is its end token.
    """
    if kind == "seq2seq":
        inputs, labels = [row.prompt for row in rows], [row.labels for row in rows]
    else:
        inputs = [row.prompt + row.completion for row in rows]
        labels = [[IGNORED] * len(row.prompt) + row.labels for row in rows]
    return {
        "input_ids": _padded(inputs, pad),
        "attention_mask": _padded([[1] * len(ids) for ids in inputs], 0),
        "labels": _padded(labels, IGNORED),
    }


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
