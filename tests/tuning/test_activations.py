"""Activations computed again give the same gradients, for every method, and leave generation as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.model.base_models import find
from tasks.model.batches import collate
from tasks.model.encoded import Encoded
from tasks.model.likelihood import supervised_logits
from tasks.model.unwrap import unwrapped
from tasks.tuning.activations import recompute
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import prepare
from tests.tiny import save_gpt2
from tests.train.every_method import METHODS
from tests.train.trained import assert_equal, losses, trainer, weights
from tests.train.training_workspace import PARAMS

AGAIN = {"training": {"activation_checkpointing": True}}
ROWS = [Encoded(list(range(3, 30 - n)), [*range(40, 42 + n), 0]) for n in range(3)]


def prepared(base: Path, patch: dict[str, Any]) -> tuple[Any, str]:
    """A model in training mode, the same for the same method, and its kind."""
    params = parse_trained(merge(PARAMS | {"base_model": {"name": str(base)}}, patch), "train.yaml")
    base_model = find(params.base_model, base)
    torch.manual_seed(0)
    model = prepare(base_model, params, 20)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model.train(), base_model.kind


def first_layer(model: Any) -> Any:
    modules = unwrapped(model).get_decoder().modules()
    return next(module for module in modules if isinstance(module, GradientCheckpointingLayer))


def step(model: Any, kind: str) -> tuple[float, dict[str, torch.Tensor], int]:
    """Loss, gradients, and how often the first layer (of the decoder) was run through."""
    runs = []
    inner = next(module for module in first_layer(model).modules() if list(module.parameters(recurse=False)))
    handle = inner.register_forward_hook(lambda *_: runs.append(1))
    torch.manual_seed(2)  # of dropout
    where = next(model.parameters()).device  # a quantised base is on the GPU where there is one
    batch = {key: value.to(where) for key, value in collate(ROWS, kind, 0).items()}
    logits, targets, _ = supervised_logits(model, batch, kind)
    loss = functional.cross_entropy(logits.float(), targets)
    loss.backward()
    handle.remove()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients, len(runs)


def assert_the_same_step(base: Path, method: str) -> None:
    held, again = (step(*prepared(base, merge(METHODS[method], patch))) for patch in ({}, AGAIN))
    assert again[0] == held[0]
    assert held[1]
    assert_equal(again[1], held[1])
    assert (held[2], again[2]) == (1, 2)


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_the_same_bit_for_bit(request: pytest.FixtureRequest, method: str, kind: str) -> None:
    """With LoRA's dropout, whose random numbers are drawn again; the prefix of prefix_tuning is there both times."""
    assert_the_same_step(request.getfixturevalue(f"tiny_{kind}"), method)


def test_a_cache_given_by_position_stays(tmp_path: Path) -> None:
    """GPT-2 takes the prefix away by itself when it computes again."""
    assert_the_same_step(save_gpt2(tmp_path, ["a lamp"]), "prefix_tuning")


def test_below_the_lowest_trained_layer_nothing_is_computed_again(tiny_llama: Path) -> None:
    patch = {"method": "selective", "selective": {"layer_norms": False, "last_layers": 1}}
    assert step(*prepared(tiny_llama, merge(patch, AGAIN)))[2] == 1


@pytest.mark.parametrize(("kind", "method"), [("llama", "lora"), ("t5", "adapter")])
def test_the_loss_curve_is_the_same(request: pytest.FixtureRequest, tmp_path: Path, kind: str, method: str) -> None:
    base = request.getfixturevalue(f"tiny_{kind}")
    done = []
    for name, patch in [("held", {}), ("again", AGAIN)]:
        loop = {"training": {"epochs": 2, "token_budget": 64, "accumulation": 2}}
        trained = trainer(base, tmp_path / name, merge(merge(METHODS[method], loop), patch))
        trained.fit(None)
        done.append(trained)
    held, again = done
    for name in ("loss", "eval_loss", "grad_norm"):
        assert losses(again, name) == losses(held, name), name
    assert_equal(weights(again), weights(held))


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("method", ["full", "prefix_tuning"])
def test_generation_keeps_its_cache(request: pytest.FixtureRequest, method: str, kind: str) -> None:
    base = request.getfixturevalue(f"tiny_{kind}")
    lengths = []
    for patch in ({}, AGAIN):
        model, of = prepared(base, merge(METHODS[method], patch))
        step(model, of)
        model.eval()
        widths: list[int] = []
        first_layer(model).register_forward_pre_hook(lambda _, args, seen=widths: seen.append(args[0].shape[1]))
        prompt = torch.tensor([ROWS[0].prompt])
        answer = model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=4,
            do_sample=False,
            eos_token_id=None,
        )
        assert widths[1:] == [1, 1, 1], "after the first token each is computed alone"
        lengths.append((answer.tolist(), unwrapped(model).config.use_cache))
    assert lengths[0] == lengths[1]


def test_an_architecture_that_cannot_is_named(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = prepared(tiny_llama, METHODS["full"])
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    with pytest.raises(TunesmithError, match=r"X: .* must support activation checkpointing; LlamaForCausalLM does not"):
        recompute(model, "X: activation_checkpointing")
