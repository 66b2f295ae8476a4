"""Memory planned on tensors that hold nothing equals what tensors hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.core import device
from tasks.core.params import merge
from tasks.memory.simulate import Batch, Step, second_step
from tasks.memory.storage_counter import StorageCounter
from tasks.memory.training_plan import largest_batch, plan_training
from tasks.model.base_models import BaseModel, BaseModelParams, find, untrained
from tasks.model.encoded import Encoded
from tasks.tuning.prepare import count_parameters, prepare
from tests.memory.planned import ROWS, parameters
from tests.train.every_method import METHODS


def planned(base: Path, method: str, budget: int = 256, **training: Any) -> Step:
    patch = merge(METHODS[method], {"training": {"token_budget": budget, **training}})
    return plan_training(*parameters(base, patch), ROWS)


def tensors(step: Step) -> int:
    """Bytes beside the weights, without what a CPU's heap holds above them."""
    return step.increment - step.peak["heap"]


def taken(model: Any, kind: str, bf16: bool) -> Step:
    """By a step on real tensors, where this machine trains."""
    where = device.device()
    with torch.device(where):
        return second_step(model.to(where).train(), largest_batch(ROWS, kind, 256), kind, bf16)


@pytest.mark.parametrize(
    ("kind", "method", "precision"),
    [
        *(("llama", method, "fp32") for method in METHODS if method != "qlora"),
        *(("t5", method, "fp32") for method in ("full", "lora", "adapter", "prefix_tuning", "p_tuning")),
        *((kind, method, "bf16") for kind in ("llama", "t5") for method in ("full", "lora", "prompt_tuning")),
    ],
)
def test_the_plan_is_what_real_tensors_take(
    request: pytest.FixtureRequest, kind: str, method: str, precision: str
) -> None:
    """The same step on real tensors of the same model: every byte is counted, none is estimated."""
    base = request.getfixturevalue(f"tiny_{kind}")
    patch = merge(METHODS[method], {"training": {"token_budget": 256, "precision": precision}})
    params, base_model = parameters(base, patch)
    plan = plan_training(params, base_model, ROWS)
    model = prepare(base_model, params, 20)
    real = taken(model, base_model.kind, precision == "bf16")
    assert (plan.weights, plan.trainable, plan.total) == (real.weights, real.trainable, real.total)
    assert (plan.trainable, plan.total) == count_parameters(model)
    assert plan.held["gradients"] == real.held["gradients"] == 4 * plan.trainable
    assert plan.held["optimizer"] == real.held["optimizer"]
    # Two moments of 4 bytes a parameter, and a step count a tensor.
    assert plan.held["optimizer"] - 8 * plan.trainable == 4 * sum(p.requires_grad for p in model.parameters())
    assert tensors(plan) == pytest.approx(tensors(real), rel=0.02)
    for part in ("activations", "logits"):
        assert plan.held[part] == pytest.approx(real.held[part], rel=0.05), part


def test_a_cpu_holds_more_than_tensors(tiny_llama: Path) -> None:
    """A share of what comes and goes; a GPU's allocator is measured without its holes."""
    step = planned(tiny_llama, "full")
    passing = sum(step.peak[part] for part in ("activations", "logits", "temporary"))
    assert step.peak["heap"] == (round(0.5 * passing) if device.device().type == "cpu" else 0)
    assert step.increment == tensors(step) + step.peak["heap"]


def test_a_quantised_base_takes_its_bits(tiny_llama: Path) -> None:
    """NF4 with double quantisation: 4 bits a weight and 8.125 a block of 64 (Dettmers et al. 2023, section 3)."""
    plain, four = planned(tiny_llama, "lora"), planned(tiny_llama, "qlora")
    params, base = parameters(tiny_llama, merge(METHODS["qlora"], {"quantisation": {"bits": 8}}))
    eight = plan_training(params, base, ROWS)
    linear = 2 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128)
    assert plain.weights - four.weights == pytest.approx(linear * (4 - (4 + 8.125 / 64) / 8), rel=0.002)
    assert plain.weights - eight.weights == pytest.approx(linear * 3, rel=0.05)
    assert (four.held["gradients"], four.held["optimizer"]) == (plain.held["gradients"], plain.held["optimizer"])


def test_a_quantised_encoder_decoder_keeps_what_its_architecture_keeps(tiny_t5: Path) -> None:
    """T5's second feed-forward matrix stays in fp32 (``_keep_in_fp32_modules``), as ``load_quantised`` leaves it."""
    plain, four = planned(tiny_t5, "lora"), planned(tiny_t5, "qlora")
    model = untrained(find(BaseModelParams(name=str(tiny_t5)), tiny_t5), torch.float32)
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and name != "lm_head"]
    packed = sum(m.weight.numel() for name, m in linear if not name.endswith(".wo"))
    assert any(name.endswith(".wo") for name, _ in linear)
    assert plain.weights - four.weights == pytest.approx(packed * (4 - (4 + 8.125 / 64) / 8), rel=0.01)


def test_twice_the_batch_takes_twice_the_activations(tiny_llama: Path) -> None:
    one, two = planned(tiny_llama, "lora", 256), planned(tiny_llama, "lora", 512)
    assert two.held["activations"] == pytest.approx(2 * one.held["activations"], rel=0.1)
    assert two.held["optimizer"] == one.held["optimizer"]


@pytest.mark.parametrize(
    ("kind", "method", "share"),
    [
        *(("llama", method, 0.5) for method in ("full", "lora", "qlora", "adapter", "prefix_tuning")),
        *(("t5", method, 0.6) for method in ("full", "lora", "adapter")),
        # Nothing of the encoder is held even so; at most, one of its layers works.
        ("t5", "prefix_tuning", 0.95),
    ],
)
def test_activations_computed_again_are_not_held(
    request: pytest.FixtureRequest, kind: str, method: str, share: float
) -> None:
    """Of two layers a side, one at a time holds more than its input; weights and moments are what they were."""
    base = request.getfixturevalue(f"tiny_{kind}")
    held = planned(base, method)
    again = planned(base, method, activation_checkpointing=True)
    assert again.held["activations"] < share * held.held["activations"]
    assert again.increment < held.increment
    assert (again.weights, again.held["optimizer"]) == (held.weights, held.held["optimizer"])


def test_the_plan_of_computing_again_is_what_real_tensors_take(tiny_llama: Path) -> None:
    patch = merge(METHODS["lora"], {"training": {"token_budget": 256, "activation_checkpointing": True}})
    params, base = parameters(tiny_llama, patch)
    real = taken(prepare(base, params, 20), base.kind, bf16=False)
    assert tensors(plan_training(params, base, ROWS)) == pytest.approx(tensors(real), rel=0.02)


def test_a_packed_batch_is_one_row_of_what_fits(tiny_llama: Path) -> None:
    rows = [Encoded([1] * 10, [2] * 2), Encoded([1] * 10, [2] * 3), Encoded([1] * 40, [2] * 8), Encoded([1] * 3, [2])]
    assert largest_batch(rows, "causal", 64, packing=True) == Batch(1, 61, 11)
    assert largest_batch(rows, "seq2seq", 64, packing=True) == Batch(1, 50, 11, 11)
    # A soft prompt is not packed.
    assert planned(tiny_llama, "prompt_tuning", packing=True) == planned(tiny_llama, "prompt_tuning")
    assert planned(tiny_llama, "lora", packing=True) != planned(tiny_llama, "lora")


def test_adapters_hold_fewer_moments_and_about_as_many_activations(tiny_llama: Path) -> None:
    full, lora = planned(tiny_llama, "full"), planned(tiny_llama, "lora")
    assert lora.held["optimizer"] < full.held["optimizer"] / 4
    assert lora.held["activations"] > 0.8 * full.held["activations"]
    assert lora.weights > full.weights


@pytest.mark.parametrize("method", ["full", "prompt_tuning", "p_tuning"])
def test_no_weights_are_read(tmp_path: Path, tiny_llama: Path, method: str) -> None:
    """A config alone is enough, also for virtual tokens of a text: the model may be larger than this machine."""
    params, base = parameters(tiny_llama, METHODS[method])
    (tmp_path / "config.json").write_bytes((tiny_llama / "config.json").read_bytes())
    bare = BaseModel(base.spec, tmp_path, None, "", base.kind)
    assert plan_training(params, bare, ROWS) == plan_training(params, base, ROWS)


def test_the_largest_batch_is_found() -> None:
    rows = [Encoded([1] * 10, [2] * 2), Encoded([1] * 10, [2] * 3), Encoded([1] * 40, [2] * 8), Encoded([1] * 3, [2])]
    assert largest_batch(rows, "causal", 48) == Batch(1, 48, 8, padded=False)
    assert largest_batch(rows, "causal", 64) == Batch(1, 48, 8, padded=False)
    assert largest_batch(rows, "seq2seq", 500) == Batch(4, 40, 14, 8)


def test_live_counts_a_storage_once_and_forgets_it() -> None:
    tensor = torch.zeros(1000, 2)
    with StorageCounter() as counter:
        transposed = tensor.t()
        assert transposed.shape == (2, 1000) and counter.now.total() == 0, "a view of what was there before"
        first = torch.zeros(100)
        assert counter.now.total() == 400
        view = first[10:].view(9, 10)
        assert counter.now.total() == 400
        with counter.part("logits"):
            second = torch.ones(50)
        assert (counter.now["logits"], counter.most["logits"]) == (200, 200)
        del first
        assert counter.now.total() == 600, "a view holds the storage"
        counter.assign([view], "gradients")
        assert counter.now["gradients"] == 400
        del view, second
        assert counter.now.total() == 0
    assert counter.peak.total() == 600
