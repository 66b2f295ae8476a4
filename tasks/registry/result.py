"""The gate's result as a mapping, which is written to files, shown by commands and stored in the registry."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated
from tasks.gate.params import RegistrationParams
from tasks.registry.decisions import Decided, comparison_digest, now
from tasks.registry.registry import Registry
from tasks.registry.verdict import WORDS
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import BY_HAND, KEY, NAME

Result = dict[str, Any]

_KEPT = (
    *("candidate", "key", "weights", "test_sha256", "verdict", "reasons", "summary", "metric", "decided"),
    *("action", "by", "why"),
)


@dataclass(frozen=True)
class Person:
    """Who decides, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class GateInputs:
    """The inputs of a decision: parameters, workspace, MLflow store, registry, and the champion before the decision.

    Attributes:
        origin: ``action``, ``by`` and ``why`` of every result, if they differ from those of a decision by the gate.
        completed: an earlier decision of this workspace that had been interrupted, and was recorded before this one.
    """

    params: RegistrationParams
    paths: Paths
    tracker: Tracker
    registry: Registry
    champion: ModelVersion | None
    origin: dict[str, Any] = field(default_factory=dict)
    completed: Result | None = None


def make_result(inputs: GateInputs, evaluated: Evaluated | None, summary: str, **facts: Any) -> Result:
    """Build a result from defaults and ``facts``, which replace them; ``tasks.register.run.run`` describes the keys."""
    time = now()
    return {
        "accepted": False,
        "changed": False,
        "verdict": None,
        "action": "gate",
        "by": "the gate",
        "why": None,
        "version": None,
        "rules": [],
        "time": time,
        "decided": time,
        "repeated": False,
        "comparison": comparison_digest(inputs.paths),
        "candidate": evaluated.name if evaluated else None,
        "key": evaluated.key if evaluated else None,
        "weights": evaluated.weights if evaluated else None,
        "test_sha256": evaluated.test if evaluated else None,
        "champion": describe(inputs.champion),
        "previous_champion": None,
        "model_name": inputs.params.model_name,
        "alias": inputs.params.alias,
        "metric": inputs.params.metric,
        "differences": {},
        "opponents": {},
        "decisions_on_this_test_set": inputs.registry.decisions_on(evaluated.test_rows()) if evaluated else None,
        "summary": summary,
        **inputs.origin,
        **facts,
    }


def kept(result: Result) -> Decided:
    """The part of a result that the registry stores."""
    return {name: result[name] for name in _KEPT}


def describe(version: ModelVersion | None) -> dict[str, Any] | None:
    """``version``, ``experiment``, ``key``, ``run_id`` and ``by_hand`` of a registered version.

    ``by_hand`` has who, when, why and how if a person made it the champion without the gate; else it is None.
    """
    if version is None:
        return None
    by_hand = version.tags.get(BY_HAND)
    return {
        "version": int(version.version),
        "experiment": version.tags.get(NAME),
        "key": version.tags.get(KEY),
        "run_id": version.run_id,
        "by_hand": json.loads(by_hand) | {"how": how_by_hand(version)} if by_hand else None,
    }


def named(version: ModelVersion) -> str:
    """``lora (version 1)``, with a mark if a person made it the champion: ``lora (version 1, promoted by hand)``."""
    how = how_by_hand(version)
    return f"{version.tags.get(NAME)} (version {version.version}{f', {how}' if how else ''})"


def how_by_hand(version: ModelVersion) -> str | None:
    """How a person made the version the champion, such as ``promoted by hand``; None if nobody did."""
    by_hand = version.tags.get(BY_HAND)
    return json.loads(by_hand).get("how", WORDS["promoted"]) if by_hand else None


def champion_stays(champion: ModelVersion | None) -> str:
    """Closing words of a summary, for a decision that does not change the champion."""
    if champion is None:
        return "there is no champion yet"
    return f"{named(champion)} stays the champion"
