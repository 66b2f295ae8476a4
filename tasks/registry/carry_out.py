"""Carry out a promotion or a rejection in the registry, so that a kill leaves none half-done.

One tag of the registered model holds the decision from before the first step until after the last one. Whoever opens
the registry next, from any workspace, repeats the steps (``finish``). Each step can be repeated.
"""

from __future__ import annotations

import logging
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tasks.core.files import canonical_json
from tasks.gate.params import AWAITING
from tasks.registry import journal
from tasks.registry.decisions import Decided
from tasks.registry.registry import Registry
from tasks.registry.result import GateInputs, Result, kept
from tasks.registry.verdict import WORDS
from tasks.registry.versions import describe_anew, note_decision
from tasks.tracking.tag_names import BY_HAND, REJECTED

logger = logging.getLogger("tunesmith")

_WITHOUT_GATE = ("promote", "rollback")


def carry_out(inputs: GateInputs, version: ModelVersion, result: Result, text: str | None = None) -> None:
    """Promote or reject ``version``, as ``result`` states.

    Args:
        text: for the description of the version; by default, the summary.
    """
    before = result["previous_champion"]
    more = {name: result[name] for name in ("version", "decisions_on_this_test_set")}
    decided = kept(result) | more | {"before": before and before["version"], "text": text or result["summary"]}
    journal.begin(inputs, result)
    inputs.registry.begin(decided)
    _steps(inputs.registry, version, decided)
    inputs.registry.end()


def finish(registry: Registry) -> None:
    """Finish the decision that a kill interrupted, if there is one.

    It is given up if somebody has deleted its version, or changed the champion in MLflow meanwhile.

    Raises:
        MlflowException: a step fails. All decisions on this registry then fail until it succeeds.
    """
    decided = registry.unfinished()
    if decided is None:
        return
    version, champion = registry.find(decided["version"]), registry.champion()
    if version is None:
        logger.warning("an interrupted decision is given up, since its version is deleted: %s", decided["summary"])
    elif not _is_valid(decided, None if champion is None else int(champion.version)):
        logger.warning("an interrupted decision is given up, since the champion changed: %s", decided["summary"])
    else:
        logger.warning("an interrupted decision is finished: %s", decided["summary"])
        try:
            _steps(registry, version, decided)
        except MlflowException:
            logger.error("it cannot be finished; to give it up, remove the tag %s", registry.unfinished_tag)
            raise
    registry.end()


def by_hand(decided: Decided) -> dict[str, str] | None:
    """``who``, ``when``, ``why`` and ``how``, if a person moved the champion without the gate; else None."""
    if decided["action"] not in _WITHOUT_GATE:
        return None
    return _person(decided) | {"how": WORDS[decided["verdict"]]}


def _is_valid(decided: Decided, champion: int | None) -> bool:
    if decided["verdict"] == "rejected":
        return champion != decided["version"]
    return champion == decided["version"] or (champion == decided["before"] and not decided.get("moved"))


def _steps(registry: Registry, version: ModelVersion, decided: Decided) -> None:
    if decided["verdict"] == "rejected":
        registry.tag_version(version, {REJECTED: canonical_json(_person(decided))})
    else:
        _move(registry, version, decided)
    registry.drop_alias(AWAITING, version.version)
    registry.remember(kept(decided))
    note_decision(registry, version, decided, decided["text"])


def _move(registry: Registry, version: ModelVersion, decided: Decided) -> None:
    """Make ``version`` the champion."""
    before = None if decided["before"] is None else registry.find(decided["before"])
    registry.promote(version, kept(decided), before)
    registry.begin(decided | {"moved": True})
    hand = by_hand(decided)
    registry.tag_version(version, {BY_HAND: canonical_json(hand) if hand else None, REJECTED: None})
    if before is None or str(before.version) == str(version.version):
        return
    if hand:  # else the next run of the gate would undo what the person decided
        why = f"replaced by version {version.version}: {decided['why']}"
        registry.tag_version(before, {REJECTED: canonical_json(_person(decided) | {"why": why})})
    reason = "" if decided["why"] is None else f": {decided['why']}"
    text = f"replaced by version {version.version} on {decided['decided']} ({decided['by']}){reason}"
    describe_anew(registry, before, text)


def _person(decided: Decided) -> dict[str, Any]:
    return {"who": decided["by"], "when": decided["decided"], "why": decided["why"]}
