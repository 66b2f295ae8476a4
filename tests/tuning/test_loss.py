from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tasks.tuning.loss import BLOCK, summed_cross_entropy


def _of_pytorch(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def _losses(count: int, vocabulary: int, dtype: torch.dtype) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, 8, generator=generator)
    weights = torch.randn(vocabulary, 8, generator=generator)
    targets = torch.randint(0, vocabulary, (count,), generator=generator)
    losses = []
    for summed in (_of_pytorch, summed_cross_entropy):
        h, w = hidden.clone().requires_grad_(), weights.clone().requires_grad_()
        loss = summed((h.to(dtype) @ w.to(dtype).t()) * 3, targets) / 7
        loss.backward()
        assert h.grad is not None and w.grad is not None
        losses.append([loss.detach(), h.grad, w.grad])
    return losses


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("count", "vocabulary", "block"),
    [(1, 11, BLOCK), (200, 49_152, BLOCK), (7, 40, 100), (3, 200, 100)],  # one block, several, rows larger than one
)
def test_loss_and_gradients_are_those_of_pytorch(
    count: int, vocabulary: int, block: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.tuning.loss.BLOCK", block)
    theirs, ours = _losses(count, vocabulary, dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2  # one bf16 rounding of the gradient
    for one, other in zip(theirs, ours, strict=True):
        assert torch.allclose(one, other, rtol=tolerance, atol=tolerance * float(one.abs().max()))


def test_gradient_takes_the_place_of_the_logits() -> None:
    hidden = torch.randn(4, 8, requires_grad=True)
    logits = hidden * 2
    kept: list[int] = []
    logits.register_hook(lambda gradient: kept.append(gradient.data_ptr()))
    summed_cross_entropy(logits, torch.tensor([0, 1, 2, 7])).backward()
    assert kept == [logits.data_ptr()]


def test_a_batch_without_a_supervised_token_has_no_loss() -> None:
    hidden = torch.randn(0, 8, requires_grad=True)
    loss = summed_cross_entropy(hidden * 2, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0 and hidden.grad is not None


def test_logits_that_are_not_finite_are_seen() -> None:
    hidden = torch.full((2, 8), float("nan"), requires_grad=True)
    assert summed_cross_entropy(hidden * 2, torch.tensor([0, 1])).isnan()
