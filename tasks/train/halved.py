"""Train with half the token budget and twice the accumulation, after memory ran out with the whole one."""

from __future__ import annotations

import os

from tasks.core.errors import TunesmithError
from tasks.tuning.params import LEAST_BUDGET, TrainedParams

HALVE_VARIABLE = "TUNESMITH_HALVE_TOKEN_BUDGET"
"""Environment variable with which a training takes half the token budget of its parameters; a flow sets it."""


def halved(params: TrainedParams) -> TrainedParams:
    """``params`` as a training uses them: with half the token budget and twice the accumulation, if it is told so.

    An optimizer step has about as many tokens as before. Its batches hold other rows, so the weights differ slightly.

    Raises:
        TunesmithError: the token budget is too small to be halved.
    """
    if not os.environ.get(HALVE_VARIABLE):
        return params
    loop = params.training
    if loop.token_budget < 2 * LEAST_BUDGET:
        raise TunesmithError(
            f"training.token_budget: must be at least {2 * LEAST_BUDGET} to be halved after memory ran out; it is "
            f"{loop.token_budget}; choose a smaller base model or shorter rows (max_length)"
        )
    smaller = {"token_budget": loop.token_budget // 2, "accumulation": 2 * loop.accumulation}
    return params.model_copy(update={"training": loop.model_copy(update=smaller)})


def record(params: TrainedParams) -> dict[str, int]:
    """The halved values, for ``computed`` of ``manifest.json``; empty if nothing was halved."""
    used = halved(params).training
    if used == params.training:
        return {}
    return {"token_budget": used.token_budget, "accumulation": used.accumulation}


def was_halved(manifest: dict[str, object]) -> bool:
    """Whether the model of ``manifest.json`` was trained with half the token budget."""
    computed = manifest.get("computed")
    return isinstance(computed, dict) and "token_budget" in computed
