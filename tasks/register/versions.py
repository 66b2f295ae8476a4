"""Registered versions of judged models: create them, write decisions into them, and move the champion's alias."""

from __future__ import annotations

import json
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core.errors import TunesmithError
from tasks.register import journal
from tasks.register.evaluated import REMEDY, Evaluated
from tasks.register.gate import Compared
from tasks.register.result import GateInputs, Result, describe, kept, make_result
from tasks.register.verdict import WORDS, lines_below
from tasks.tracking.state import log_state
from tasks.tracking.tag_names import ABOUT, BY_HAND, GATE, KEY, NAME, REJECTED, WEIGHTS

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


def note_decision(inputs: GateInputs, version: ModelVersion, result: Result, why: str | None = None) -> None:
    """Store a decision with its version: tags (verdict, person, time, reason, a line per rule) and the description.

    Args:
        why: text of the description; the result's summary by default.
    """
    who = result["by"] if result["why"] is None else f"{result['by']}: {result['why']}"
    tags: dict[str, str | None] = {
        GATE: WORDS[result["verdict"]],
        DECIDED: f"{result['decided']} by {who}",
        RULES: "\n".join(lines_below(result)),
    }
    inputs.registry.tag_version(version, tags)
    describe_anew(inputs, version, why or result["summary"])


def describe_anew(inputs: GateInputs, version: ModelVersion, text: str) -> None:
    """Replace the description of a version: its experiment, method and base model, then ``text``.

    Versions of earlier releases keep their description, since they do not have the tag that it needs.
    """
    if ABOUT in version.tags:
        inputs.registry.describe(version, f"{version.tags.get(NAME)} ({version.tags[ABOUT]}): {text}")


def identity(version: ModelVersion) -> dict[str, Any]:
    """The facts of a result that name the version's model: its experiment, key, weights and number."""
    tags = version.tags
    return {
        "candidate": tags.get(NAME),
        "key": tags.get(KEY),
        "weights": tags.get(WEIGHTS),
        "version": int(version.version),
    }


def promote(
    inputs: GateInputs,
    version: ModelVersion,
    how: str,
    facts: dict[str, Any],
    candidate: Evaluated | None = None,
    by_hand: str | None = None,
    replaced: str | None = None,
    why: str | None = None,
) -> Result:
    """Move the champion's alias to ``version``.

    Args:
        how: verb of the summary, such as ``accepted``.
        candidate: the version with its scores, if the gate judged it.
        by_hand: the value of the tag that marks a version which a person promoted without the gate.
        replaced: the value of the tag that keeps the gate from proposing the earlier champion again.
        why: as for ``note_decision``.
    """
    params = inputs.params
    inputs.registry.refuse_moved(inputs.champion)
    line = f"{version.tags.get(NAME)} {how}: {params.model_name} version {version.version} is now the {params.alias}"
    champion = (describe(version) or {}) | {"by_hand": json.loads(by_hand) if by_hand else None}
    moved = {"changed": True, "champion": champion, "previous_champion": describe(inputs.champion)}
    result = make_result(inputs, candidate, line, **(identity(version) | moved | facts))
    steps = {"by_hand": by_hand, "replaced": replaced, "why": why}
    journal.begin(inputs.paths, result, steps)
    move(inputs, version, result, steps)
    return result


def move(inputs: GateInputs, version: ModelVersion, result: Result, steps: dict[str, Any]) -> None:
    """Carry out a promotion in the registry. Each step can be repeated.

    Args:
        steps: ``by_hand``, ``replaced`` and ``why`` as for ``promote``.
    """
    registry, former = inputs.registry, result["previous_champion"]
    before = None if former is None else registry.version(str(former["version"]))
    registry.tag_version(version, {BY_HAND: steps["by_hand"], REJECTED: None})
    if before is not None and steps["replaced"] is not None:
        registry.tag_version(before, {REJECTED: steps["replaced"]})
    registry.remember(kept(result))
    note_decision(inputs, version, result, steps["why"])
    registry.promote(version, kept(result), before)
    if before is not None and str(before.version) != str(version.version):
        reason = "" if result["why"] is None else f": {result['why']}"
        replaced = f"replaced by version {version.version} on {result['decided']} ({result['by']}){reason}"
        describe_anew(inputs, before, replaced)


def reject(inputs: GateInputs, version: ModelVersion, result: Result, steps: dict[str, Any]) -> None:
    """Carry out a rejection in the registry. Each step can be repeated.

    Args:
        steps: ``rejected``, the value of the tag that keeps the gate from proposing the version again.
    """
    inputs.registry.tag_version(version, {REJECTED: steps["rejected"]})
    note_decision(inputs, version, result)
