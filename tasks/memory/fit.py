"""Whether a training fits into the memory that is free, and the cheapest change that makes it fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.core.params import merge, parse
from tasks.memory.simulate import Step
from tasks.memory.training_plan import plan_training
from tasks.model.base_models import BaseModel
from tasks.model.batches import bucket
from tasks.model.rendering import Encoded
from tasks.tuning.method_params import METHODS
from tasks.tuning.params import TrainParams

_BLOCKS = {block for blocks in METHODS.values() for block in blocks}
_LIGHTER = {"full": ("lora", "qlora"), "selective": ("lora", "qlora"), "qlora": ()}


def refuse_over(
    step: Step, free: int, name: str, params: TrainParams, base: BaseModel, rows: Sequence[Encoded]
) -> None:
    """Raises TunesmithError, with the cheapest change that fits, when ``step`` needs more than ``free`` bytes."""
    if step.weights + step.increment <= free:
        return
    change = cheapest_fit(params, base, rows, free)
    raise TunesmithError(
        f"train@{name}: training must fit into the free memory; planned are {gb(step.weights)} GB of weights and "
        f"{gb(step.increment)} GB beside them, {gb(free)} GB are free on {device.device().type}; {change}"
    )


def cheapest_fit(params: TrainParams, base: BaseModel, rows: Sequence[Encoded], free: int) -> str:
    """What to write into ``params/`` so that training fits into ``free`` bytes, in words; what costs least first.

    Smaller batches that are accumulated come first (the same tokens a step), then recomputed activations (the same
    result, a step is slower), then another method (another result).
    """
    tried: list[dict[str, Any]] = []
    hopeless: set[str] = set()  # methods whose weights alone are too many, with which no batch fits
    for patch in _changes(params, rows):
        method = patch.get("method", params.method)
        if patch in tried or method in hopeless:  # the same twice where no smaller batch is possible
            continue
        tried.append(patch)
        try:
            step = plan_training(changed(params, patch), base, rows)
        except Exception:  # what this architecture cannot is no advice
            continue
        if step.weights > free:
            hopeless.add(method)
        if step.weights + step.increment <= free:
            return f"with {written(patch)} it needs {gb(step.weights + step.increment)} GB"
    return "no batch size and no method of this model fits; take a smaller base model or shorter rows (max_length)"


def changed(params: TrainParams, patch: dict[str, Any]) -> TrainParams:
    """``params`` with ``patch`` laid over; another method brings the defaults of its own blocks."""
    known = params.model_dump(exclude_none=True)
    if "method" in patch:
        known = {key: value for key, value in known.items() if key not in _BLOCKS}
    return parse(TrainParams, merge(known, patch), "params/experiments.yaml")


def _changes(params: TrainParams, rows: Sequence[Encoded]) -> Iterator[dict[str, Any]]:
    """Patches of an experiment, the cheapest first."""
    assert params.training is not None
    budgets = list(_smaller_batches(params, rows))
    smallest = budgets[-1] if budgets else {}
    yield from budgets
    recomputed = merge(smallest, {"training": {"activation_checkpointing": True}})
    if not params.training.activation_checkpointing:
        yield from ({"training": {"activation_checkpointing": True}}, recomputed)
    for method in _LIGHTER.get(params.method, ("qlora",)):
        for patch in ({}, smallest, recomputed):
            yield {"method": method, **patch}


def _smaller_batches(params: TrainParams, rows: Sequence[Encoded]) -> Iterator[dict[str, Any]]:
    assert params.training is not None
    least = max(bucket(len(row)) for row in rows)
    budget, accumulation = params.training.token_budget, params.training.accumulation
    while budget // 2 >= least:
        budget, accumulation = budget // 2, accumulation * 2
        yield {"training": {"token_budget": budget, "accumulation": accumulation}}


def written(patch: Any) -> str:
    """As it would stand in YAML, on one line."""
    if isinstance(patch, dict):
        return "{" + ", ".join(f"{key}: {written(value)}" for key, value in patch.items()) + "}"
    return str(patch).lower()


def gb(size: int) -> str:
    """Bytes in GB, two decimals."""
    return f"{size / 1e9:.2f}"
