"""Batches by token budget, and the likelihood of completions: shared by training and evaluation."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.rendering import Encoded

IGNORED = -100
_BUCKET = 16


def bucket(length: int) -> int:
    """``length`` rounded up to a multiple of 16: lengths of one bucket are batched in any order."""
    return -(-length // _BUCKET) * _BUCKET


def token_budget_batches(lengths: Sequence[int], budget: int, seed: int | None = None) -> list[list[int]]:
    """Indices in batches of at most ``budget`` tokens, padding included; a longer row is a batch of its own.

    Rows are ordered by bucket. With a seed, rows of one bucket are shuffled and so are the batches; their
    number does not depend on the seed, as a schedule over epochs needs.
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
        # Sorted upwards, so this row's bucket is the width of the batch it joins.
        if batches[-1] and bucket(lengths[index]) * (len(batches[-1]) + 1) > budget:
            batches.append([])
        batches[-1].append(index)
    if seed is not None:
        shuffler.shuffle(batches)
    return batches


def collate(rows: Sequence[Encoded], kind: str, pad: int) -> dict[str, Tensor]:
    """``input_ids``, ``attention_mask`` and ``labels`` (IGNORED where masked), each (B, T), padded on the right.

    For ``seq2seq`` models ``labels`` is (B, T_decoder). The attention mask comes from the lengths, never from
    the pad id: SmolLM2's pad token is its end token.
    """
    if kind == "seq2seq":
        inputs, labels = [row.prompt for row in rows], [row.completion for row in rows]
    else:
        inputs = [row.prompt + row.completion for row in rows]
        labels = [[IGNORED] * len(row.prompt) + row.completion for row in rows]
    return {
        "input_ids": _padded(inputs, pad),
        "attention_mask": _padded([[1] * len(ids) for ids in inputs], 0),
        "labels": _padded(labels, IGNORED),
    }


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def supervised_logits(model: Any, batch: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, V) at the N supervised positions only, their targets (N,), and the row of each (N,).

    The output layer is the costliest part of a small model; at masked positions its result is never used. So a
    hook hands it the supervised positions alone. This holds for every architecture, wrapped by peft or not.
    """
    labels = batch["labels"]
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    if kind == "seq2seq":
        inputs["decoder_input_ids"] = unwrapped(model).prepare_decoder_input_ids_from_labels(labels=labels)
    return logits_at_labels(model, inputs, labels, kind)


def logits_at_labels(model: Any, inputs: dict[str, Any], labels: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """As ``supervised_logits``, from the arguments that the model is called with and the labels."""
    supervised = labels != IGNORED
    if kind != "seq2seq":
        # The logits at position t predict token t + 1.
        supervised = functional.pad(supervised[:, 1:], (0, 1))
        labels = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
        inputs = inputs | {"use_cache": False}
    with output_only_at(model, supervised):
        logits = model(**inputs).logits
    return logits, labels[supervised], supervised.nonzero()[:, 0]


def unwrapped(model: Any) -> Any:
    """The model of ``transformers`` within what peft or several processes put around it."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def output_only_at(model: Any, positions: Tensor) -> Iterator[None]:
    def keep(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        # Virtual tokens of a soft prompt stand before the rows' own.
        hidden_BTH = args[0][:, -positions.shape[1] :]
        return (hidden_BTH[positions],)

    handle = unwrapped(model).get_output_embeddings().register_forward_pre_hook(keep)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Likelihood:
    """Of a set of completions under a model, each as the model would have to say it.

    Attributes:
        nll: negative log-likelihood of each row in nats, end token included.
        tokens: supervised tokens of each row.
        exact: whether greedy decoding says exactly the completion and stops.
    """

    nll: list[float]
    tokens: list[int]
    exact: list[bool]

    @property
    def loss(self) -> float:
        """Nats a supervised token."""
        return sum(self.nll) / sum(self.tokens)

    @property
    def accuracy(self) -> float:
        return sum(self.exact) / len(self.exact)


@torch.no_grad()
def likelihood(
    model: Any, rows: Sequence[Encoded], kind: str, pad: int, budget: int, autocast: torch.autocast
) -> Likelihood:
    """The likelihood of every row's completion, in batches by token budget, in the order of ``rows``."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    nll, exact = torch.zeros(len(rows), dtype=torch.float64), torch.ones(len(rows), dtype=torch.bool)
    for indices in token_budget_batches([len(row) for row in rows], budget):
        batch = {key: value.to(device) for key, value in collate([rows[i] for i in indices], kind, pad).items()}
        with autocast:
            logits, targets, row_of = supervised_logits(model, batch, kind)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none").double().cpu()
        right = (logits.argmax(-1) == targets).cpu()
        for position, index in enumerate(indices):
            mine = (row_of == position).cpu()
            nll[index] = losses[mine].sum()
            exact[index] = right[mine].all()
    model.train(was_training)
    return Likelihood(nll.tolist(), [len(row.completion) for row in rows], exact.tolist())
