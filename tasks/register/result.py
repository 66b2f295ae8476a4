"""The gate's result as a mapping, which is written to files, shown by commands and stored in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core.paths import Paths
from tasks.register.decisions import Decided, comparison_digest, now
from tasks.register.evaluated import Evaluated
from tasks.register.params import RegistrationParams
from tasks.register.registry import Registry
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import KEY, NAME

Result = dict[str, Any]

_KEPT = ("candidate", "key", "weights", "test_sha256", "verdict", "reasons", "summary", "metric", "decided", "by")


@dataclass(frozen=True)
class GateInputs:
    """The inputs of a decision: parameters, workspace, MLflow store, registry, and the champion before the decision."""

    params: RegistrationParams
    paths: Paths
    tracker: Tracker
    registry: Registry
    champion: ModelVersion | None


def make_result(inputs: GateInputs, candidate: Evaluated | None, summary: str, **facts: Any) -> Result:
    """Build a result from defaults and ``facts``, which replace them; ``tasks.register.run.run`` describes the keys."""
    time = now()
    return {
        "accepted": False,
        "changed": False,
        "verdict": None,
        "by": "the gate",
        "time": time,
        "decided": time,
        "comparison": comparison_digest(inputs.paths),
        "candidate": candidate.name if candidate else None,
        "key": candidate.key if candidate else None,
        "weights": candidate.weights if candidate else None,
        "test_sha256": candidate.test if candidate else None,
        "champion": describe(inputs.champion),
        "previous_champion": None,
        "model_name": inputs.params.model_name,
        "alias": inputs.params.alias,
        "metric": inputs.params.metric,
        "differences": {},
        "opponents": {},
        "decisions_on_this_test_set": inputs.registry.decisions_on(candidate.test_rows()) if candidate else None,
        "summary": summary,
        **facts,
    }


def kept(result: Result) -> Decided:
    """The part of a result that the registry stores."""
    return {name: result[name] for name in _KEPT}


def describe(version: ModelVersion | None) -> dict[str, Any] | None:
    """``version``, ``experiment``, ``key`` and ``run_id`` of a registered version."""
    if version is None:
        return None
    return {
        "version": int(version.version),
        "experiment": version.tags.get(NAME),
        "key": version.tags.get(KEY),
        "run_id": version.run_id,
    }


def champion_stays(champion: ModelVersion | None) -> str:
    """Closing words of a summary, for a decision that does not change the champion."""
    if champion is None:
        return "there is no champion yet"
    return f"{champion.tags.get(NAME)} (version {champion.version}) stays the champion"
