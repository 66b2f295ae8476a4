"""A training that is clearly too large is refused with the cheapest change that fits; a close plan is a warning."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.memory.fit import changed, cheapest_fit, check_fit, fit_of
from tasks.memory.growth import MemoryGrowth
from tasks.memory.params import MemoryParams, load_limits
from tasks.memory.simulate import Step
from tasks.memory.training_plan import plan_training
from tasks.tuning.params import TrainedParams
from tests.memory.planned import ROWS, parameters
from tests.train.every_method import METHODS


def need(base: Path, method: str, **training: int) -> int:
    params, base_model = parameters(base, METHODS[method] | {"training": training})
    step = plan_training(params, base_model, ROWS)
    return step.total_bytes


def step_of(weights: int, activations: int, heap: int) -> Step:
    peak = {"activations": activations, "heap": heap}
    return Step(weights=weights, trainable=1, total=1, peak=peak, held=peak)


@pytest.mark.parametrize(
    ("free", "limits", "fit"),
    [
        (1250, MemoryParams(), "fits"),  # 1,000 bytes planned are 0.8 of these
        (1249, MemoryParams(), "close"),
        (1000, MemoryParams(), "close"),
        (900, MemoryParams(), "close"),  # the tensors, 900 bytes, still fit
        (899, MemoryParams(), "too_large"),
        (899, MemoryParams(refuse_above=1.01), "close"),
        (1, MemoryParams(refuse_above=None), "close"),
        (1000, MemoryParams(warn_above=1.0), "fits"),
    ],
)
def test_the_plan_warns_and_its_tensors_alone_refuse(free: int, limits: MemoryParams, fit: str) -> None:
    assert fit_of(step_of(weights=500, activations=400, heap=100), free, limits) == fit


def test_a_training_that_fits_is_silent(tiny_llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    step = plan_training(params, base, ROWS)
    check_fit(step, step.total_bytes * 2, MemoryParams(), "full", params, base, ROWS)
    assert not caplog.records


@pytest.mark.parametrize(("share", "limits"), [(1, MemoryParams()), (0.01, MemoryParams(refuse_above=None))])
def test_a_close_plan_and_an_overridden_one_warn(
    tiny_llama: Path, caplog: pytest.LogCaptureFixture, share: float, limits: MemoryParams
) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    step = plan_training(params, base, ROWS)
    with caplog.at_level("WARNING", logger="tunesmith"):
        check_fit(step, int(step.total_bytes * share), limits, "full", params, base, ROWS)
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("train@full: memory may run out: 0.00 GB are planned")
    assert "lower training.token_budget" in message


def test_a_training_that_is_too_large_is_refused_with_smaller_batches_first(tiny_llama: Path) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    free = need(tiny_llama, "full", token_budget=128, accumulation=2)
    step = plan_training(params, base, ROWS)
    with pytest.raises(TunesmithError) as error:
        check_fit(step, free, MemoryParams(), "full", params, base, ROWS)
    message = str(error.value)
    rule = "the tensors of a training must fit into 100% of the free memory (memory.refuse_above)"
    assert message.startswith(f"train@full: {rule}; they need 0.00 GB")
    assert "; with {training: {token_budget: 128, accumulation: 2}} it needs " in message
    assert message.endswith("to train anyway, set memory.refuse_above: null in params/training.yaml")


def test_limits_are_read_from_the_training_parameters(tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    assert load_limits(file) == MemoryParams()
    file.write_text("defaults: {}\nmethods: {}\n")
    assert load_limits(file) == MemoryParams()
    file.write_text("memory: {refuse_above: null}\n")
    assert load_limits(file) == MemoryParams(refuse_above=None)
    file.write_text("memory: {refuse_above: 0}\n")
    with pytest.raises(TunesmithError, match=r"training\.yaml: memory\.refuse_above: .* greater than 0; it is 0"):
        load_limits(file)
    file.write_text("memory: {refuse: 1}\n")
    with pytest.raises(TunesmithError, match=r"memory\.refuse: unknown key; known here: on_oom, "):
        load_limits(file)


def test_what_costs_least_comes_first(tiny_llama: Path) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    smallest = {"token_budget": 64, "accumulation": 4}
    written = "training: {token_budget: 64, accumulation: 4"
    free = need(tiny_llama, "full", **smallest)
    assert cheapest_fit(params, base, ROWS, free).startswith(f"with {{{written}}}}} it needs")
    # Less than any batch takes, then less than recomputed activations take.
    assert "activation_checkpointing: true}" in cheapest_fit(params, base, ROWS, free - 1)
    free = need(tiny_llama, "full", **smallest, activation_checkpointing=True) - 1
    assert cheapest_fit(params, base, ROWS, free).startswith("with {method: lora")
    assert cheapest_fit(params, base, ROWS, 1000).startswith("no batch size and no method of this model fits")


def test_no_batch_of_weights_that_do_not_fit_is_tried(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    tried: list[str] = []

    def counted(given: TrainedParams, *rest: Any) -> Step:
        tried.append(given.method)
        return plan_training(given, *rest)

    monkeypatch.setattr("tasks.memory.fit.plan_training", counted)
    assert cheapest_fit(params, base, ROWS, 1000).startswith("no batch size and no method")
    assert tried == ["full", "lora", "qlora"]


def test_a_change_that_cannot_be_planned_is_passed_over(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, base = parameters(tiny_llama, METHODS["full"])
    free = need(tiny_llama, "qlora", token_budget=64, accumulation=4, activation_checkpointing=True)

    def only_qlora(changed: TrainedParams, *given: Any) -> Step:
        if changed.method != "qlora":
            raise AttributeError("no such layer")
        return plan_training(changed, *given)

    monkeypatch.setattr("tasks.memory.fit.plan_training", only_qlora)
    assert cheapest_fit(params, base, ROWS, free).startswith("with {method: qlora")


def test_another_method_brings_its_own_blocks(tiny_llama: Path) -> None:
    params, _ = parameters(tiny_llama, METHODS["adapter"])
    result = changed(params, {"method": "qlora"})
    assert result.method == "qlora"
    assert tuple(result.blocks()) == ("lora", "quantisation")
    assert result.training == params.training


def test_free_memory_of_a_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.free_memory_bytes() > 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=900))
    monkeypatch.setattr(device, "_CONTROL_GROUP", tmp_path)
    assert device.free_memory_bytes() == 900
    for name, text in (("memory.max", "1000"), ("memory.current", "700"), ("memory.stat", "anon 1\ninactive_file 200")):
        (tmp_path / name).write_text(text)
    assert device.free_memory_bytes() == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert device.free_memory_bytes() == 900


def test_growth_is_what_was_held_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with MemoryGrowth(torch.nn.Linear(8, 8)) as growth:
        held = torch.ones(64_000_000)  # 256 MB, in pages that are written
        torch.mm(torch.ones(2000, 2000), torch.ones(2000, 2000))  # the watcher's turn
        del held
    assert growth.peak == pytest.approx(256e6, rel=0.25)


def test_memory_that_was_freed_earlier_counts_as_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device.keep_freed_memory()
    freed = [torch.ones(250_000) for _ in range(200)]
    del freed
    with MemoryGrowth(torch.nn.Linear(8, 8)) as growth:
        held = [torch.ones(250_000) for _ in range(200)]
        torch.mm(torch.ones(2000, 2000), torch.ones(2000, 2000))  # the watcher's turn
        del held
    assert growth.peak == pytest.approx(200e6, rel=0.35)


@pytest.mark.parametrize(("sharded", "expected"), [(False, 700), (True, 700 + 8 * 8 * 4)])
def test_weights_on_their_way_to_a_gpu_are_no_growth(
    monkeypatch: pytest.MonkeyPatch, sharded: bool, expected: int
) -> None:
    model = torch.nn.Linear(8, 8, bias=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 1000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1000 + 8 * 8 * 4 + 700)
    with MemoryGrowth(model, sharded) as growth:
        pass
    assert growth.peak == expected
