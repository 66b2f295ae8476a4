"""Decide on one candidate: reuse an earlier decision while it holds, or compare the candidate with its opponents."""

from __future__ import annotations

import json
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.compare.cells import label
from tasks.core import files
from tasks.gate.evaluated import Evaluated, shots
from tasks.gate.gate import Decision, RuleResult, decide, percent, undecided
from tasks.gate.labels import label_reasons, never_predicted
from tasks.gate.looks import WORN_OUT, Look, spent
from tasks.gate.lost_tasks import lost_tasks
from tasks.gate.params import AWAITING, CHALLENGER, RegistrationParams
from tasks.gate.seeds import Repeats, repeats
from tasks.metrics.params import load_verdicts
from tasks.register.demands import measured_values, rule_results
from tasks.register.opponents import Opponents, opponents
from tasks.register.promote import promote
from tasks.registry.decisions import Decided
from tasks.registry.result import GateInputs, Result, champion_stays, kept, make_result
from tasks.registry.verdict import WORDS
from tasks.registry.versions import ensure_version, note_decision
from tasks.tracking.tag_names import KEY, REJECTED


def judge(inputs: GateInputs, candidate: Evaluated, run_id: str | None, approved: bool = False) -> Result:
    """Decide on ``candidate``. If it is accepted, move the alias, or let it await approval.

    A refusal is reused while all that ``_judged`` reads is unchanged, even if the champion changes.

    Args:
        run_id: the candidate's MLflow run.
        approved: whether a person approved it; with ``approval: manual`` nothing else is promoted.
    """
    params, registry = inputs.params, inputs.registry
    if inputs.champion and inputs.champion.tags.get(KEY) == candidate.key:
        return _already(inputs, candidate, inputs.champion)
    version = registry.version_of(candidate.key, candidate.weights)
    if version is not None and REJECTED in version.tags:
        return _still_rejected(inputs, candidate, version)
    if (too_few := undecided(candidate.scores, {}, params)) is not None:
        return _not_accepted(inputs, candidate, run_id, too_few)
    trained = repeats(candidate, params, inputs.paths) if params.beyond_seeds else None
    if trained is not None and (too_few := trained.undecided()) is not None:
        return _not_accepted(inputs, candidate, run_id, too_few)
    lost, unsure = lost_tasks(inputs.paths, candidate, params)
    verdicts = load_verdicts(inputs.paths.params / "evaluation.yaml")
    judged = _judged(candidate, lost, trained, params, measured_values(candidate, inputs, verdicts))
    if (before := registry.refusal(judged)) is not None:
        return _still_refused(inputs, candidate, before, version)
    against = opponents(candidate, inputs.champion, params, inputs.paths, inputs.tracker)
    if (too_few := undecided(candidate.scores, against.by_key, params)) is not None:
        return _not_accepted(inputs, candidate, run_id, too_few)
    others, remarks = _other_rules(inputs, candidate, lost)
    remarks += [f"retention: {task}; registration.retention: kept lets it pass" for task in unsure]
    look = registry.count_decision(candidate.test_rows(), _digest_of(candidate, against, trained, params))
    seeds = None if trained is None else trained.spread(candidate)
    confidence = _confidence(look, params)
    names = {key: opponent.name for key, opponent in against.by_key.items()}
    others += rule_results(candidate, names, inputs, confidence, verdicts)
    decision = decide(candidate.scores, against.by_key, params, others, seeds, confidence, verdicts)
    facts = {
        **_facts(decision, [*_looks_remarks(look, params), *remarks, *against.remarks]),
        "opponents": names,
        "differences": {key: compared.entry() for key, compared in decision.compared.items()},
    }
    if decision.verdict == "accepted":
        return _accept(inputs, candidate, decision, run_id, facts, approved)
    result = _not_accepted(inputs, candidate, run_id, decision, facts)
    registry.remember_refusal(judged, kept(result))
    return result


def _facts(decision: Decision, remarks: list[str]) -> dict[str, Any]:
    rules = [{"rule": one.rule, "passed": one.passed, "line": one.line} for one in decision.results]
    return {"verdict": decision.verdict, "reasons": [*decision.reasons, *remarks], "rules": rules}


def _other_rules(inputs: GateInputs, candidate: Evaluated, lost: list[str]) -> tuple[list[RuleResult], list[str]]:
    """Results of the rules on labels and retention tasks, and remarks: one line each."""
    faults, remarks = label_reasons(never_predicted(candidate.report / "predictions.parquet"), inputs.params)
    results = [RuleResult("labels", False, line) for line in faults]
    results += [
        RuleResult("retention", False, f"retention: {task}; registration.retention demands that it is kept")
        for task in lost
    ]
    return results, remarks


def _confidence(look: Look, params: RegistrationParams) -> float:
    """The confidence that the intervals of this decision need."""
    return params.confidence if params.looks == "each" else spent(params.confidence, look.number)


def _looks_remarks(look: Look, params: RegistrationParams) -> list[str]:
    remarks = []
    if params.looks == "spend":
        remarks.append(
            f"decision {look.number} on this test set needs {percent(_confidence(look, params))} confidence, so "
            f"that all decisions together keep {percent(params.confidence)} (registration.looks: spend)"
        )
    if look.count >= WORN_OUT:
        remarks.append(
            f"the gate has decided {look.count} times on this test set, so a candidate may win by chance; draw a new "
            "test set: `tunesmith testset rotate` for a split by hash; for other splits see docs/data.md, A new test "
            "set"
        )
    return remarks


def _digest_of(candidate: Evaluated, against: Opponents, trained: Repeats | None, params: RegistrationParams) -> str:
    """Digest of candidate, opponents, seeds and rules. A comparison with the same digest is a repetition."""
    rules = params.model_dump(include={"metric", "resamples", "confidence", "seed"})
    if params.rules:
        rules["rules"] = params.model_dump()["rules"]
    return files.digest([candidate.key, candidate.scores.digest(), against.identities, _seeds(trained), rules])


def _judged(
    candidate: Evaluated, lost: list[str], trained: Repeats | None, params: RegistrationParams, measured: list[str]
) -> str:
    """Digest of all that a refusal depends on: weights, evaluation, scores, lost tasks, seeds, rules, and measures.

    The same model can get other scores: after a change of a metric, of a source's language, or of the dirty rows.
    Keys that later releases added are left out at their defaults, so that stored refusals still hold.
    """
    evaluated = [candidate.test, candidate.metrics.get("generation"), shots(candidate.metrics)]
    rules = params.model_dump(exclude={"model_name", "approval", *([] if params.rules else ["rules"])})
    scores = candidate.scores.digest()
    facts = [candidate.key, candidate.weights, evaluated, scores, lost, _seeds(trained), rules]
    return files.digest([*facts, measured] if measured else facts)


def _seeds(trained: Repeats | None) -> list[str]:
    """Keys of the other trainings of the candidate's experiment; none if seeds do not decide."""
    return [] if trained is None else sorted(other.key for other in trained.others)


def _already(inputs: GateInputs, candidate: Evaluated, champion: ModelVersion) -> Result:
    inputs.registry.drop_alias(CHALLENGER, champion.version)  # a killed process may have left it
    line = f"{candidate.name} is already the {inputs.params.alias}, version {champion.version}"
    promotion = inputs.registry.promotion(champion) or {}
    kept_facts = ("verdict", "reasons", "decided", "by", "why")
    facts: dict[str, Any] = {name: promotion[name] for name in kept_facts if name in promotion}
    facts |= {"version": int(champion.version), "repeated": "decided" in promotion}
    if facts.get("verdict") == "accepted":  # as earlier releases stored what a person decided
        facts["verdict"] = {"promote": "promoted", "rollback": "restored"}.get(str(promotion.get("action")), "accepted")
    return make_result(inputs, candidate, line, **({"accepted": True, "verdict": "accepted", "reasons": []} | facts))


def _still_refused(inputs: GateInputs, candidate: Evaluated, before: Decided, version: ModelVersion | None) -> Result:
    line = f"{candidate.name} stays refused, as decided on these test rows at {before['decided']}"
    remedy = (
        f"to make it the champion anyway, run `tunesmith promote {candidate.name} --why TEXT`; else train another "
        "model, or change the rules in params/registration.yaml"
    )
    facts = {
        "verdict": "refused",
        "reasons": [*before["reasons"], remedy],
        "decided": before["decided"],
        "repeated": True,
    }
    facts["version"] = None if version is None else int(version.version)
    return make_result(inputs, candidate, f"{line}; {champion_stays(inputs.champion)}", **facts)


def _still_rejected(inputs: GateInputs, candidate: Evaluated, version: ModelVersion) -> Result:
    rejection = json.loads(version.tags[REJECTED])
    reasons = [
        f"rejected by {rejection['who']} at {rejection['when']}: {rejection['why']}",
        f"to make it the champion anyway, run `tunesmith promote {version.version} --why TEXT`",
    ]
    line = f"{candidate.name} (version {version.version}) stays rejected; {champion_stays(inputs.champion)}"
    facts = {"verdict": "rejected", "reasons": reasons, "version": int(version.version), "repeated": True}
    facts |= {"decided": rejection["when"], "by": rejection["who"], "why": rejection["why"]}
    return make_result(inputs, candidate, line, **facts)


def _not_accepted(
    inputs: GateInputs,
    candidate: Evaluated,
    run_id: str | None,
    decision: Decision,
    facts: dict[str, Any] | None = None,
) -> Result:
    """The result of a refusal or of too few rows. The candidate becomes the challenger, a registered version."""
    facts = facts or _facts(decision, [])
    stays = champion_stays(inputs.champion)
    line = f"{candidate.name} refused; {stays}"
    if decision.verdict == "undecided":
        line = f"{candidate.name} not decided: {decision.results[0].line}; {stays}"
    version = None
    if run_id is not None and candidate.weights:
        version = ensure_version(inputs, run_id, candidate, decision.compared, line)
        inputs.registry.set_alias(CHALLENGER, version)
    result = make_result(inputs, candidate, line, version=None if version is None else int(version.version), **facts)
    inputs.registry.remember(kept(result))
    if version is not None:
        failed = next((one.line for one in decision.results if not one.passed), line)
        note_decision(inputs.registry, version, result, f"{WORDS[decision.verdict]} on {result['decided']}: {failed}")
    return result


def _accept(
    inputs: GateInputs,
    candidate: Evaluated,
    decision: Decision,
    run_id: str | None,
    facts: dict[str, Any],
    approved: bool,
) -> Result:
    params, registry = inputs.params, inputs.registry
    why = f"{label(params.metric)} {decision.compared['baseline'].shown(params.metric)} over {params.baseline}"
    version = ensure_version(inputs, run_id, candidate, decision.compared, why)
    if params.approval == "automatic" or approved:
        facts |= {"accepted": True}
        return promote(inputs, version, "accepted", facts, candidate, why)
    line = (
        f"{candidate.name} (version {version.version}) passes the gate and awaits approval: "
        f"`tunesmith approve {version.version} --why TEXT`; {champion_stays(inputs.champion)}"
    )
    result = make_result(inputs, candidate, line, **(facts | {"verdict": "awaiting", "version": int(version.version)}))
    registry.remember(kept(result))
    registry.set_alias(AWAITING, version)
    registry.drop_alias(CHALLENGER, version.version)
    note_decision(registry, version, result, line)
    return result
