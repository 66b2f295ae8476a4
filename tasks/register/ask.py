"""The answer about one candidate: an earlier one where it still holds, else the gate's decision."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks import files
from tasks.errors import TunesmithError
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


def ask(asked: Question, candidate: Evaluated, run_id: str | None) -> Result:
    """Answer, and move the alias where the candidate is accepted. ``run_id``: the candidate's MLflow run.

    A candidate that was refused stays refused: on the same test rows, by the same rules, whoever reigns now.
    """
    params = asked.params
    if asked.champion and asked.champion.tags.get(KEY) == candidate.key:
        return _already(asked, candidate, asked.champion)
    if (too_few := undecided(candidate.scores, params)) is not None:
        line = f"{candidate.name} not decided: {too_few.reasons[0]}; {reigns(asked.champion)}"
        return _remembered(asked, candidate, line, verdict="undecided", reasons=too_few.reasons)
    lost = lost_tasks(asked.paths, candidate, params)
    judged = _judged(candidate, lost, params)
    if (before := asked.registry.refusal(judged)) is not None:
        return _still_refused(asked, candidate, before)
    against = opponents(candidate, asked.champion, params, asked.paths, asked.tracker)
    predictions = asked.paths.report(candidate.name) / "predictions.parquet"
    refusing, remarks = label_reasons(never_predicted(predictions), params)
    refusing += [f"retention: {task}; registration.retention demands that it is kept" for task in lost]
    decision = decide(candidate.scores, against.by_key, params, refusing)
    facts: dict[str, Any] = {
        "verdict": decision.verdict,
        "reasons": [*decision.reasons, *remarks, *against.remarks],
        "opponents": {key: opponent.name for key, opponent in against.by_key.items()},
        "differences": {key: asdict(difference) for key, difference in decision.differences.items()},
    }
    question = _question(candidate, against, params)
    facts["decisions_on_this_test_set"] = asked.registry.count_question(candidate.test, question)
    if decision.verdict == "accepted":
        return _crown(asked, candidate, decision.differences, run_id, facts)
    answer = _remembered(asked, candidate, f"{candidate.name} refused; {reigns(asked.champion)}", **facts)
    asked.registry.remember_refusal(judged, kept(answer))
    return answer


def _question(candidate: Evaluated, against: Opponents, params: RegistrationParams) -> str:
    """Digest of what the test set is asked: the same question gets the same answer."""
    rules = params.model_dump(include={"metric", "resamples", "confidence", "seed"})
    return files.digest([candidate.key, against.identities, rules])


def _judged(candidate: Evaluated, lost: list[str], params: RegistrationParams) -> str:
    """Digest of what a refusal holds for: these weights, evaluated so, on these rows, by these rules."""
    evaluated = [candidate.test, candidate.metrics.get("generation"), shots(candidate.metrics), lost]
    return files.digest([candidate.key, candidate.weights, evaluated, params.model_dump(exclude={"model_name"})])


def _already(asked: Question, candidate: Evaluated, champion: ModelVersion) -> Result:
    line = f"{candidate.name} is already the {asked.params.alias}, version {champion.version}"
    crowned = asked.registry.crowned(champion) or {}
    facts = {name: crowned[name] for name in ("reasons", "decided", "by") if name in crowned}
    return result(asked, candidate, line, **({"accepted": True, "verdict": "accepted", "reasons": []} | facts))


def _still_refused(asked: Question, candidate: Evaluated, before: Decided) -> Result:
    line = f"{candidate.name} stays refused, as decided on these test rows at {before['decided']}"
    remedy = (
        f"to let it reign all the same, type `tunesmith champion --set {candidate.name} --because TEXT`; else train "
        "another model, or change the rules in params/registration.yaml"
    )
    facts = {"verdict": "refused", "reasons": [*before["reasons"], remedy], "decided": before["decided"]}
    return result(asked, candidate, f"{line}; {reigns(asked.champion)}", **facts)


def _remembered(asked: Question, candidate: Evaluated, summary: str, **facts: Any) -> Result:
    answer = result(asked, candidate, summary, **facts)
    asked.registry.remember(kept(answer))
    return answer


def _crown(
    asked: Question, candidate: Evaluated, differences: Differences, run_id: str | None, facts: dict[str, Any]
) -> Result:
    params = asked.params
    why = f"{params.metric} {differences['baseline']} over {params.baseline}"
    return crown(asked, candidate, differences, run_id, why, facts | {"accepted": True})


def crown(
    asked: Question, candidate: Evaluated, differences: Differences, run_id: str | None, why: str, facts: dict[str, Any]
) -> Result:
    """Move the alias to the candidate's version, which is made where there is none; ``why`` describes a new one."""
    params = asked.params
    version = asked.registry.version_of(candidate.key, candidate.weights)
    if version is None:
        version = _add_version(asked, run_id, candidate, differences, why)
    how = "accepted" if differences else "set by a person"
    line = f"{candidate.name} {how}: {params.model_name} version {version.version} is now the {params.alias}"
    facts = {"changed": True, "champion": describe(version), "previous_champion": describe(asked.champion)} | facts
    answer = result(asked, candidate, line, **facts)
    asked.registry.remember(kept(answer))
    asked.registry.crown(version, kept(answer))
    return answer


def _add_version(
    asked: Question, run_id: str | None, candidate: Evaluated, differences: Differences, why: str
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
    tags |= {f"tunesmith.{asked.params.metric}.over_{name}": str(d) for name, d in differences.items()}
    base = str((candidate.manifest.get("base_model") or {}).get("spec", ""))
    description = f"{candidate.name} ({candidate.manifest['method']} on {base}): {why}"
    return asked.registry.add(run_id, tags, description, base)
