"""Decide on one candidate: an earlier decision is reused while it holds; otherwise the gate compares anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.register.decisions import Decided
from tasks.register.evaluated import REMEDY, Evaluated, shots
from tasks.register.gate import Difference, decide, undecided
from tasks.register.labels import label_reasons, never_predicted
from tasks.register.lost import lost_tasks
from tasks.register.opponents import Opponents, opponents
from tasks.register.params import RegistrationParams
from tasks.register.result import Question, Result, describe, kept, reigns, result
from tasks.tracking.client import KEY, NAME
from tasks.tracking.sync import WEIGHTS

Differences = dict[str, Difference]


def ask(question: Question, candidate: Evaluated, run_id: str | None) -> Result:
    """Decide on ``candidate``, and move the alias if it is accepted. ``run_id``: the candidate's MLflow run.

    A refusal holds as long as test rows and rules are the same, even if there is another champion or none.
    """
    params = question.params
    if question.champion and question.champion.tags.get(KEY) == candidate.key:
        return _already(question, candidate, question.champion)
    if (too_few := undecided(candidate.scores, params)) is not None:
        line = f"{candidate.name} not decided: {too_few.reasons[0]}; {reigns(question.champion)}"
        return _remembered(question, candidate, line, verdict="undecided", reasons=too_few.reasons)
    lost = lost_tasks(question.paths, candidate, params)
    judged = _judged(candidate, lost, params)
    if (before := question.registry.refusal(judged)) is not None:
        return _still_refused(question, candidate, before)
    against = opponents(candidate, question.champion, params, question.paths, question.tracker)
    predictions = question.paths.report(candidate.name) / "predictions.parquet"
    refusing, remarks = label_reasons(never_predicted(predictions), params)
    refusing += [f"retention: {task}; registration.retention demands that it is kept" for task in lost]
    decision = decide(candidate.scores, against.by_key, params, refusing)
    facts: dict[str, Any] = {
        "verdict": decision.verdict,
        "reasons": [*decision.reasons, *remarks, *against.remarks],
        "opponents": {key: opponent.name for key, opponent in against.by_key.items()},
        "differences": {key: asdict(difference) for key, difference in decision.differences.items()},
    }
    digest = _digest_of(candidate, against, params)
    facts["decisions_on_this_test_set"] = question.registry.count_question(candidate.test, digest)
    if decision.verdict == "accepted":
        return _crown(question, candidate, decision.differences, run_id, facts)
    answer = _remembered(question, candidate, f"{candidate.name} refused; {reigns(question.champion)}", **facts)
    question.registry.remember_refusal(judged, kept(answer))
    return answer


def _digest_of(candidate: Evaluated, against: Opponents, params: RegistrationParams) -> str:
    """Digest of candidate, opponents and rules: repeating the same comparison teaches nothing new."""
    rules = params.model_dump(include={"metric", "resamples", "confidence", "seed"})
    return files.digest([candidate.key, against.identities, rules])


def _judged(candidate: Evaluated, lost: list[str], params: RegistrationParams) -> str:
    """Digest of what a refusal depends on: weights, way of evaluation, test rows and rules."""
    evaluated = [candidate.test, candidate.metrics.get("generation"), shots(candidate.metrics), lost]
    return files.digest([candidate.key, candidate.weights, evaluated, params.model_dump(exclude={"model_name"})])


def _already(question: Question, candidate: Evaluated, champion: ModelVersion) -> Result:
    line = f"{candidate.name} is already the {question.params.alias}, version {champion.version}"
    crowned = question.registry.crowned(champion) or {}
    facts = {name: crowned[name] for name in ("reasons", "decided", "by") if name in crowned}
    return result(question, candidate, line, **({"accepted": True, "verdict": "accepted", "reasons": []} | facts))


def _still_refused(question: Question, candidate: Evaluated, before: Decided) -> Result:
    line = f"{candidate.name} stays refused, as decided on these test rows at {before['decided']}"
    remedy = (
        f"to make it the champion all the same, run `tunesmith champion --set {candidate.name} --because TEXT`; else "
        "train another model, or change the rules in params/registration.yaml"
    )
    facts = {"verdict": "refused", "reasons": [*before["reasons"], remedy], "decided": before["decided"]}
    return result(question, candidate, f"{line}; {reigns(question.champion)}", **facts)


def _remembered(question: Question, candidate: Evaluated, summary: str, **facts: Any) -> Result:
    answer = result(question, candidate, summary, **facts)
    question.registry.remember(kept(answer))
    return answer


def _crown(
    question: Question, candidate: Evaluated, differences: Differences, run_id: str | None, facts: dict[str, Any]
) -> Result:
    params = question.params
    why = f"{params.metric} {differences['baseline']} over {params.baseline}"
    return crown(question, candidate, differences, run_id, why, facts | {"accepted": True})


def crown(
    question: Question,
    candidate: Evaluated,
    differences: Differences,
    run_id: str | None,
    why: str,
    facts: dict[str, Any],
) -> Result:
    """Move the alias to the candidate's version; a missing version is made, with ``why`` in its description."""
    params = question.params
    version = question.registry.version_of(candidate.key, candidate.weights)
    if version is None:
        version = _add_version(question, run_id, candidate, differences, why)
    how = "accepted" if differences else "set by a person"
    line = f"{candidate.name} {how}: {params.model_name} version {version.version} is now the {params.alias}"
    facts = {"changed": True, "champion": describe(version), "previous_champion": describe(question.champion)} | facts
    answer = result(question, candidate, line, **facts)
    question.registry.remember(kept(answer))
    question.registry.crown(version, kept(answer))
    return answer


def _add_version(
    question: Question, run_id: str | None, candidate: Evaluated, differences: Differences, why: str
) -> ModelVersion:
    if run_id is None:
        raise TunesmithError(
            f"build/experiments/{candidate.name}: no such folder, so the candidate has no run in MLflow, which a "
            f"version needs; {REMEDY}"
        )
    tags = {
        KEY: candidate.key,
        NAME: candidate.name,
        WEIGHTS: candidate.weights,
        "tunesmith.fingerprint": (candidate.manifest.get("fingerprint") or {}).get("value", ""),
        "tunesmith.test_sha256": candidate.test,
    }
    tags |= {f"tunesmith.{question.params.metric}.over_{name}": str(d) for name, d in differences.items()}
    base = str((candidate.manifest.get("base_model") or {}).get("spec", ""))
    description = f"{candidate.name} ({candidate.manifest['method']} on {base}): {why}"
    return question.registry.add(run_id, tags, description, base)
