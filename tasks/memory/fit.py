"""Check that a training fits into the free memory; name the cheapest change that makes it fit."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from tasks.core import device
from tasks.core.errors import TunesmithError
from tasks.core.params import merge
from tasks.memory.params import MemoryParams
from tasks.memory.simulate import Step
from tasks.memory.training_plan import plan_training
from tasks.model.base_models import BaseModel
from tasks.model.batches import bucket
from tasks.model.encoded import Encoded
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams, parse_trained

logger = logging.getLogger("tunesmith")

Fit = Literal["fits", "close", "too_large"]


def fit_of(step: Step, free: int, limits: MemoryParams) -> Fit:
    """Compare a planned step with ``free`` bytes.

    The plan is an estimate, but its tensors are counted. So ``too_large`` is judged by the tensors alone.
    """
    if limits.refuse_above is not None and step.tensors > limits.refuse_above * free:
        return "too_large"
    return "close" if step.total_bytes > limits.warn_above * free else "fits"


def check_fit(
    step: Step,
    free: int,
    limits: MemoryParams,
    name: str,
    params: TrainedParams,
    base: BaseModel,
    rows: Sequence[Encoded],
) -> None:
    """Refuse a training that is clearly too large for ``free`` bytes, and warn if the plan comes close to them.

    Raises:
        TunesmithError: the tensors alone exceed ``limits.refuse_above``; with the cheapest change that fits.
    """
    fit = fit_of(step, free, limits)
    if fit == "fits":
        return
    on = f"free on {device.device().type}"
    if fit == "close":
        logger.warning(
            "train@%s: memory may run out: %s GB are planned (%s GB of weights, %s GB besides them) and %s GB are %s; "
            "the plan is an estimate; if this training is killed, lower training.token_budget or set "
            "training.activation_checkpointing: true (`tunesmith plan --memory` shows what each takes)",
            *(name, gb(step.total_bytes), gb(step.weights), gb(step.increment), gb(free), on),
        )
        return
    raise TunesmithError(
        f"train@{name}: the tensors of a training must fit into {limits.refuse_above:.0%} of the free memory "
        f"(memory.refuse_above); they need {gb(step.tensors)} GB ({gb(step.weights)} GB of weights), "
        f"{gb(free)} GB are {on}; "
        f"{cheapest_fit(params, base, rows, free)} (experiments.{name} in params/experiments.yaml); to train anyway, "
        "set memory.refuse_above: null in params/training.yaml"
    )


def cheapest_fit(params: TrainedParams, base: BaseModel, rows: Sequence[Encoded], free: int) -> str:
    """Name the cheapest change of the parameters with which the plan fits into ``free`` bytes.

    Smaller batches with more accumulation come first: a step has as many tokens as before. Then come recomputed
    activations: the result is the same, but a step is slower. Another method comes last, since it changes the result.
    """
    tried: list[dict[str, Any]] = []
    hopeless: set[str] = set()  # methods whose weights alone exceed what is free, so that no batch fits
    for patch in _changes(params, rows):
        method = patch.get("method", params.method)
        if patch in tried or method in hopeless:  # a patch comes twice if no smaller batch is possible
            continue
        tried.append(patch)
        try:
            step = plan_training(changed(params, patch), base, rows)
        except Exception:  # do not advise a change that this architecture does not support
            continue
        if step.weights > free:
            hopeless.add(method)
        if step.total_bytes <= free:
            return f"with {written(patch)} it needs {gb(step.total_bytes)} GB"
    return "no batch size and no method of this model fits; take a smaller base model or shorter rows (max_length)"


def changed(params: TrainedParams, patch: dict[str, Any]) -> TrainedParams:
    """Return ``params`` with ``patch`` merged in; a new method brings the defaults of its own blocks."""
    known = params.model_dump(exclude_none=True)
    if "method" in patch:
        known = {key: value for key, value in known.items() if key not in params.blocks()}
    return parse_trained(merge(known, patch), "params/experiments.yaml")


def _changes(params: TrainedParams, rows: Sequence[Encoded]) -> Iterator[dict[str, Any]]:
    """Yield patches of an experiment, the cheapest first."""
    budgets = list(_smaller_batches(params, rows))
    smallest = budgets[-1] if budgets else {}
    yield from budgets
    recomputed = merge(smallest, {"training": {"activation_checkpointing": True}})
    if not params.training.activation_checkpointing:
        yield from ({"training": {"activation_checkpointing": True}}, recomputed)
    for method in methods.named(params.method).lighter:
        for patch in ({}, smallest, recomputed):
            yield {"method": method, **patch}


def _smaller_batches(params: TrainedParams, rows: Sequence[Encoded]) -> Iterator[dict[str, Any]]:
    least = max(bucket(len(row)) for row in rows)
    budget, accumulation = params.training.token_budget, params.training.accumulation
    while budget // 2 >= least:
        budget, accumulation = budget // 2, accumulation * 2
        yield {"training": {"token_budget": budget, "accumulation": accumulation}}


def written(patch: Any) -> str:
    """Format ``patch`` as YAML on one line."""
    if isinstance(patch, dict):
        return "{" + ", ".join(f"{key}: {written(value)}" for key, value in patch.items()) + "}"
    return str(patch).lower()


def gb(size: int) -> str:
    """Format bytes in GB with two decimals."""
    return f"{size / 1e9:.2f}"
