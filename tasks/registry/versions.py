"""Registered versions of judged models: create them, and write decisions into them."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core.errors import TunesmithError
from tasks.gate.evaluated import REMEDY, Evaluated
from tasks.gate.gate import Compared
from tasks.registry.decisions import Decided
from tasks.registry.registry import Registry
from tasks.registry.result import GateInputs
from tasks.registry.verdict import WORDS, lines_below
from tasks.tracking.state import log_state
from tasks.tracking.tag_names import ABOUT, GATE, KEY, NAME, WEIGHTS

DECIDED, RULES = "tunesmith.gate_decided", "tunesmith.gate_rules"


def ensure_version(
    inputs: GateInputs, run_id: str | None, candidate: Evaluated, differences: dict[str, Compared], why: str
) -> ModelVersion:
    """The candidate's version; created, with ``why`` in its description, if its key has none.

    Raises:
        TunesmithError: the candidate has no MLflow run, or a version of its key has other weights.
    """
    version = inputs.registry.version_of(candidate.key, candidate.weights)
    if version is not None:
        return version
    if run_id is None:
        raise TunesmithError(
            f"build/experiments/{candidate.name}: no such folder, so the candidate has no run in MLflow, which a "
            f"version needs; {REMEDY}"
        )
    metric = inputs.params.metric
    tags = {
        KEY: candidate.key,
        NAME: candidate.name,
        WEIGHTS: candidate.weights,
        "tunesmith.fingerprint": (candidate.manifest.get("fingerprint") or {}).get("value", ""),
        "tunesmith.test_sha256": candidate.test,
        ABOUT: f"{candidate.manifest['method']} on {(candidate.manifest.get('base_model') or {}).get('spec')}",
    }
    tags |= {f"tunesmith.{metric}.over_{name}": one.shown(metric) for name, one in differences.items()}
    log_state(inputs.tracker.client, run_id, candidate.name, inputs.paths, candidate.report)
    return inputs.registry.add(run_id, tags, f"{candidate.name} ({tags[ABOUT]}): {why}")


def note_decision(registry: Registry, version: ModelVersion, decided: Decided, text: str) -> None:
    """Store a decision with its version: tags (verdict, person, time, reason, a line per rule) and the description.

    Args:
        text: for the description.
    """
    tags: dict[str, str | None] = {
        GATE: WORDS[decided["verdict"]],
        RULES: "\n".join(lines_below(decided)),
        DECIDED: _decided(decided),
    }
    describe_anew(registry, version, text)
    registry.tag_version(version, tags)


def is_noted(version: ModelVersion, decided: Decided) -> bool:
    """Whether ``note_decision`` stored this decision with the version, as the latest one."""
    return bool(version.tags.get(DECIDED) == _decided(decided))


def _decided(decided: Decided) -> str:
    who = decided["by"] if decided["why"] is None else f"{decided['by']}: {decided['why']}"
    return f"{decided['decided']} by {who}"


def describe_anew(registry: Registry, version: ModelVersion, text: str) -> None:
    """Replace the description of a version: its experiment, method and base model, then ``text``.

    Versions of earlier releases keep their description, since they do not have the tag that it needs.
    """
    if ABOUT in version.tags:
        registry.describe(version, f"{version.tags.get(NAME)} ({version.tags[ABOUT]}): {text}")


def identity(version: ModelVersion) -> dict[str, Any]:
    """The facts of a result that name the version's model: its experiment, key, weights and number."""
    tags = version.tags
    return {
        "candidate": tags.get(NAME),
        "key": tags.get(KEY),
        "weights": tags.get(WEIGHTS),
        "version": int(version.version),
    }
