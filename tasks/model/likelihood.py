"""The likelihood of completions under a model, for training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.model.batches import collate, token_budget_batches
from tasks.model.encoded import IGNORED, Encoded
from tasks.model.unwrap import output_only_at, unwrapped


def supervised_logits(model: Any, batch: dict[str, Tensor], kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (N, V) at the N supervised positions only, their targets (N,), and the row of each (N,).

    The output layer is the costliest part of a small model, and its result at masked positions is not used. So a hook
    gives it the supervised positions only, in every architecture, wrapped by peft or not.
    """
    labels = batch["labels"]
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    if kind == "seq2seq":
        inputs["decoder_input_ids"] = unwrapped(model).prepare_decoder_input_ids_from_labels(labels=labels)
    return logits_at_labels(model, inputs, labels, kind)


def logits_at_labels(model: Any, inputs: dict[str, Any], labels: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """As ``supervised_logits``, for the given arguments of the model and labels."""
    supervised = labels != IGNORED
    if kind != "seq2seq":
        # The logits at position t predict token t + 1.
        supervised = functional.pad(supervised[:, 1:], (0, 1))
        labels = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
        inputs = inputs | {"use_cache": False}
    with output_only_at(model, supervised):
        logits = model(**inputs).logits
    return logits, labels[supervised], supervised.nonzero()[:, 0]


@dataclass(frozen=True)
class Likelihood:
    """Likelihood of completions, one entry per row.

    Attributes:
        nll: negative log-likelihood in nats, end token included.
        tokens: number of supervised tokens.
        exact: whether greedy decoding generates exactly the completion and stops.
    """

    nll: list[float]
    tokens: list[int]
    exact: list[bool]

    @property
    def loss(self) -> float:
        """Nats per supervised token."""
        return sum(self.nll) / sum(self.tokens)

    @property
    def accuracy(self) -> float:
        """Share of rows that are exact."""
        return sum(self.exact) / len(self.exact)


@torch.no_grad()
def likelihood(
    model: Any, rows: Sequence[Encoded], kind: str, pad: int, budget: int, autocast: torch.autocast
) -> Likelihood:
    """Compute the likelihood of every row's completion, in the order of ``rows``."""
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
            in_row = (row_of == position).cpu()
            nll[index] = losses[in_row].sum()
            exact[index] = right[in_row].all()
    model.train(was_training)
    return Likelihood(nll.tolist(), [row.supervised for row in rows], exact.tolist())
