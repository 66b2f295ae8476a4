"""Decide on one candidate: reuse an earlier decision while it holds, or compare the candidate with its opponents."""

from __future__ import annotations

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.metrics.params import load_verdicts
from tasks.register.decisions import Decided
from tasks.register.evaluated import REMEDY, Evaluated, shots
from tasks.register.gate import Compared, Decision, decide, percent, undecided
from tasks.register.labels import label_reasons, never_predicted
from tasks.register.looks import WORN_OUT, Look, spent
from tasks.register.lost_tasks import lost_tasks
from tasks.register.opponents import Opponents, opponents
from tasks.register.params import RegistrationParams
from tasks.register.result import GateInputs, Result, champion_stays, describe, kept, make_result
from tasks.register.seeds import Repeats, repeats
from tasks.tracking.tag_names import KEY, NAME, WEIGHTS

Differences = dict[str, Compared]


def judge(inputs: GateInputs, candidate: Evaluated, run_id: str | None) -> Result:
    """Decide on ``candidate``, and move the alias if it is accepted.

    A refusal holds as long as test rows and rules are the same, even if the champion changes.

    Args:
        run_id: the candidate's MLflow run.
    """
    params, registry = inputs.params, inputs.registry
    if inputs.champion and inputs.champion.tags.get(KEY) == candidate.key:
        return _already(inputs, candidate, inputs.champion)
    if (too_few := undecided(candidate.scores, {}, params)) is not None:
        return _undecided(inputs, candidate, too_few)
    trained = repeats(candidate, params, inputs.paths) if params.beyond_seeds else None
    if trained is not None and (too_few := trained.undecided()) is not None:
        return _undecided(inputs, candidate, too_few)
    lost, unsure = lost_tasks(inputs.paths, candidate, params)
    judged = _judged(candidate, lost, trained, params)
    if (before := registry.refusal(judged)) is not None:
        return _still_refused(inputs, candidate, before)
    against = opponents(candidate, inputs.champion, params, inputs.paths, inputs.tracker)
    if (too_few := undecided(candidate.scores, against.by_key, params)) is not None:
        return _undecided(inputs, candidate, too_few)
    faults, remarks = _faults(inputs, candidate, lost)
    remarks += [f"retention: {task}; registration.retention: kept lets it pass" for task in unsure]
    look = registry.count_decision(candidate.test_rows(), _digest_of(candidate, against, trained, params))
    seeds = None if trained is None else trained.spread(candidate)
    verdicts = load_verdicts(inputs.paths.params / "evaluation.yaml")
    confidence = _confidence(look, params)
    decision = decide(candidate.scores, against.by_key, params, faults, seeds, confidence, verdicts)
    facts: dict[str, Any] = {
        "verdict": decision.verdict,
        "reasons": [*decision.reasons, *_looks_remarks(look, params), *remarks, *against.remarks],
        "opponents": {key: opponent.name for key, opponent in against.by_key.items()},
        "differences": {key: compared.entry() for key, compared in decision.compared.items()},
    }
    if decision.verdict == "accepted":
        return _promote(inputs, candidate, decision.compared, run_id, facts)
    result = _recorded(inputs, candidate, f"{candidate.name} refused; {champion_stays(inputs.champion)}", **facts)
    registry.remember_refusal(judged, kept(result))
    return result


def _faults(inputs: GateInputs, candidate: Evaluated, lost: list[str]) -> tuple[list[str], list[str]]:
    """Causes of a refusal besides the opponents, and remarks: one line each."""
    predictions = inputs.paths.report(candidate.name) / "predictions.parquet"
    faults, remarks = label_reasons(never_predicted(predictions), inputs.params)
    faults += [f"retention: {task}; registration.retention demands that it is kept" for task in lost]
    return faults, remarks


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
            f"this test set has decided {look.count} times, so a chance winner is likely; draw a new test set: "
            "`tunesmith testset rotate` for a split by hash; for other splits see docs/data.md, A new test set"
        )
    return remarks


def _digest_of(candidate: Evaluated, against: Opponents, trained: Repeats | None, params: RegistrationParams) -> str:
    """Digest of candidate, opponents, seeds and rules. A comparison with the same digest is a repetition."""
    rules = params.model_dump(include={"metric", "resamples", "confidence", "seed"})
    return files.digest([candidate.key, candidate.scores.digest(), against.identities, _seeds(trained), rules])


def _judged(candidate: Evaluated, lost: list[str], trained: Repeats | None, params: RegistrationParams) -> str:
    """Digest of all that a refusal depends on: weights, evaluation, scores, lost tasks, seeds and rules.

    The same model can get other scores: after a change of a metric, of a source's language, or of the dirty rows.
    """
    evaluated = [candidate.test, candidate.metrics.get("generation"), shots(candidate.metrics)]
    rules = params.model_dump(exclude={"model_name"})
    scores = candidate.scores.digest()
    return files.digest([candidate.key, candidate.weights, evaluated, scores, lost, _seeds(trained), rules])


def _seeds(trained: Repeats | None) -> list[str]:
    """Keys of the other trainings of the candidate's experiment; none if seeds do not decide."""
    return [] if trained is None else sorted(other.key for other in trained.others)


def _already(inputs: GateInputs, candidate: Evaluated, champion: ModelVersion) -> Result:
    line = f"{candidate.name} is already the {inputs.params.alias}, version {champion.version}"
    promotion = inputs.registry.promotion(champion) or {}
    facts = {name: promotion[name] for name in ("reasons", "decided", "by") if name in promotion}
    return make_result(inputs, candidate, line, **({"accepted": True, "verdict": "accepted", "reasons": []} | facts))


def _undecided(inputs: GateInputs, candidate: Evaluated, too_few: Decision) -> Result:
    line = f"{candidate.name} not decided: {too_few.reasons[0]}; {champion_stays(inputs.champion)}"
    return _recorded(inputs, candidate, line, verdict=too_few.verdict, reasons=too_few.reasons)


def _still_refused(inputs: GateInputs, candidate: Evaluated, before: Decided) -> Result:
    line = f"{candidate.name} stays refused, as decided on these test rows at {before['decided']}"
    remedy = (
        f"to make it the champion anyway, run `tunesmith champion --set {candidate.name} --because TEXT`; else "
        "train another model, or change the rules in params/registration.yaml"
    )
    facts = {"verdict": "refused", "reasons": [*before["reasons"], remedy], "decided": before["decided"]}
    return make_result(inputs, candidate, f"{line}; {champion_stays(inputs.champion)}", **facts)


def _recorded(inputs: GateInputs, candidate: Evaluated, summary: str, **facts: Any) -> Result:
    result = make_result(inputs, candidate, summary, **facts)
    inputs.registry.remember(kept(result))
    return result


def _promote(
    inputs: GateInputs, candidate: Evaluated, differences: Differences, run_id: str | None, facts: dict[str, Any]
) -> Result:
    params = inputs.params
    why = f"{params.metric} {differences['baseline']} over {params.baseline}"
    return promote(inputs, candidate, differences, run_id, why, facts | {"accepted": True})


def promote(
    inputs: GateInputs,
    candidate: Evaluated,
    differences: Differences,
    run_id: str | None,
    why: str,
    facts: dict[str, Any],
) -> Result:
    """Move the alias to the candidate's version. Without such a version, create it with ``why`` in its description."""
    params = inputs.params
    version = inputs.registry.version_of(candidate.key, candidate.weights)
    if version is None:
        version = _add_version(inputs, run_id, candidate, differences, why)
    how = "accepted" if differences else "set by a person"
    line = f"{candidate.name} {how}: {params.model_name} version {version.version} is now the {params.alias}"
    facts = {"changed": True, "champion": describe(version), "previous_champion": describe(inputs.champion)} | facts
    result = make_result(inputs, candidate, line, **facts)
    inputs.registry.remember(kept(result))
    inputs.registry.promote(version, kept(result))
    return result


def _add_version(
    inputs: GateInputs, run_id: str | None, candidate: Evaluated, differences: Differences, why: str
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
    tags |= {f"tunesmith.{inputs.params.metric}.over_{name}": str(d) for name, d in differences.items()}
    base = str((candidate.manifest.get("base_model") or {}).get("spec", ""))
    description = f"{candidate.name} ({candidate.manifest['method']} on {base}): {why}"
    return inputs.registry.add(run_id, tags, description, base)
