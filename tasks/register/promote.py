"""Make a registered version the champion."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.gate.evaluated import Evaluated
from tasks.registry.carry_out import by_hand, carry_out
from tasks.registry.result import GateInputs, Result, describe, make_result
from tasks.registry.versions import identity
from tasks.tracking.tag_names import NAME


def promote(
    inputs: GateInputs,
    version: ModelVersion,
    how: str,
    facts: dict[str, Any],
    candidate: Evaluated | None = None,
    text: str | None = None,
) -> Result:
    """Move the champion's alias to ``version``.

    Args:
        how: verb of the summary, such as ``accepted``.
        candidate: the version with its scores, if the gate judged it.
        text: as for ``carry_out``.

    Raises:
        TunesmithError: the champion changed since ``inputs`` was read.
    """
    params = inputs.params
    inputs.registry.refuse_moved(inputs.champion)
    line = f"{version.tags.get(NAME)} {how}: {params.model_name} version {version.version} is now the {params.alias}"
    moved = {"changed": True, "previous_champion": describe(inputs.champion)}
    result = make_result(inputs, candidate, line, **(identity(version) | moved | facts))
    result["champion"] = (describe(version) or {}) | {"by_hand": by_hand(result)}
    carry_out(inputs, version, result, text)
    return result
