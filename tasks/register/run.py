"""``register``: ask the gate for the candidate of the comparison, and move the alias or leave it.

A side effect outside DVC: reads ``reports/`` and ``models/``, writes the MLflow registry and
``.tunesmith/registration.json`` (the last answer) and ``.tunesmith/decisions.jsonl`` (every decision).
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from filelock import FileLock
from mlflow.entities.model_registry import ModelVersion

from tasks import files
from tasks.benchmark.retention import benchmark_verdicts
from tasks.errors import TunesmithError
from tasks.paths import Paths
from tasks.register.champion import champion_scores
from tasks.register.decisions import comparison_digest, now, record
from tasks.register.evaluated import REMEDY, Evaluated, read
from tasks.register.gate import Decision, decide
from tasks.register.params import RegistrationParams
from tasks.register.registry import Registry
from tasks.tracking.client import KEY, NAME, Tracker, open_store, readable_mlflow
from tasks.tracking.sync import WEIGHTS, sync

logger = logging.getLogger("tunesmith")

Result = dict[str, Any]


def run(params: RegistrationParams, paths: Paths) -> Result:
    """Decide on the candidate and write ``.tunesmith/registration.json``; a refusal is a result, not an error.

    Keys: ``accepted`` (the candidate reigns now), ``changed`` (the alias moved), ``candidate``, ``champion`` and
    ``previous_champion`` (version, experiment, key, run_id; or None), ``reasons``, ``differences``, ``summary``,
    ``decisions_on_this_test_set`` (None where nothing was asked of the test set).

    Raises:
        TunesmithError: something that the decision needs is missing, stale or not comparable.
    """
    paths.state.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.state / "register.lock"):
        result = {"time": now(), "comparison": comparison_digest(paths)} | _register(params, paths)
        if result["differences"]:
            record(paths, result)
        with files.replacing(paths.state / "registration.json") as temporary:
            files.write_json(temporary, result)
    logger.info("%s", result["summary"])
    for reason in result["reasons"]:
        logger.info("  %s", reason)
    return result


def _register(params: RegistrationParams, paths: Paths) -> Result:
    name = _candidate(paths)
    tracker = open_store(paths.root)
    with readable_mlflow(tracker.uri):
        registry = Registry(tracker, params.model_name, params.alias)
        registry.ensure()
        champion = registry.champion()
        if name is None:
            reason = "reports/comparison/comparison.json names no candidate"
            return _result(params, None, champion, f"no candidate; {_reigns(champion)}", reasons=[reason])
        candidate = read(name, params.metric, paths)
        if champion and champion.tags.get(KEY) == candidate.key:
            line = f"{name} is already the {params.alias}, version {champion.version}"
            return _result(params, candidate, champion, line, accepted=True, reasons=[])
        return _decide(params, paths, tracker, candidate, champion)


def _decide(
    params: RegistrationParams, paths: Paths, tracker: Tracker, candidate: Evaluated, champion: ModelVersion | None
) -> Result:
    # The version's source is the model in the candidate's run, and the champion's scores lie in its run.
    runs = {synced.experiment: synced.run_id for synced in sync(paths, tracker)}
    base = read(params.baseline, params.metric, paths)
    if base.test != candidate.test:
        raise TunesmithError(
            f"reports/experiments: {base.name} and {candidate.name} must be evaluated on the same test rows; "
            f"test_sha256 is {base.test[:12]} and {candidate.test[:12]}; {REMEDY}"
        )
    reigning = champion_scores(champion, candidate, params, paths, tracker) if champion else None
    lost = _lost(paths, candidate, base) if params.retention == "kept" else []
    decision = decide(candidate.scores, base.scores, reigning, params, lost)
    registry = Registry(tracker, params.model_name, params.alias)
    question = files.digest([candidate.key, base.key, champion.tags.get(KEY) if champion else None, params.metric])
    facts = {
        "reasons": decision.reasons,
        "opponents": {"baseline": base.name} | ({"champion": champion.tags.get(NAME)} if champion else {}),
        "differences": {name: asdict(difference) for name, difference in decision.differences.items()},
        "decisions_on_this_test_set": registry.count_decision(candidate.test, question),
    }
    if not decision.accepted:
        return _result(params, candidate, champion, f"{candidate.name} refused; {_reigns(champion)}", **facts)
    version = registry.version_of(candidate.key, candidate.weights)
    if version is None:
        version = _add(params, registry, runs.get(candidate.name), candidate, decision)
    registry.crown(version)
    line = f"{candidate.name} accepted: {params.model_name} version {version.version} is now the {params.alias}"
    facts |= {"accepted": True, "changed": True, "previous_champion": _describe(champion)}
    return _result(params, candidate, version, line, **facts)


def _candidate(paths: Paths) -> str | None:
    path = paths.comparison / "comparison.json"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; {REMEDY}")
    name: str | None = files.read_json(path)["candidate"]
    return name


def _lost(paths: Paths, candidate: Evaluated, base: Evaluated) -> list[str]:
    """Tasks beside its own that the candidate did not keep, as the comparison and benchmarks of both say.

    Raises:
        TunesmithError: no task was judged.
    """
    path = paths.comparison / "comparison.json"
    (entry,) = (system for system in files.read_json(path)["systems"] if system["name"] == candidate.name)
    judged: dict[str, str] = {task: found["verdict"] for task, found in (entry.get("retention") or {}).items()}
    judged |= benchmark_verdicts(paths, (base.name, base.key), (candidate.name, candidate.key))
    if not judged:
        raise TunesmithError(
            "params/registration.yaml: registration.retention: 'kept' needs tasks to be kept; the comparison has "
            "judged none, and no suite is planned for both models; name sources under evaluation_set.retention, or "
            f"suites of {base.name} and {candidate.name} under benchmark.experiments of params/evaluation.yaml, or set "
            "it to 'shown'"
        )
    return [f"{task}: {verdict}" for task, verdict in judged.items() if verdict not in ("kept", "gained")]


def _add(
    params: RegistrationParams, registry: Registry, run_id: str | None, candidate: Evaluated, decision: Decision
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
    tags |= {f"tunesmith.{params.metric}.over_{name}": str(d) for name, d in decision.differences.items()}
    base = str((candidate.manifest.get("base_model") or {}).get("spec", ""))
    made = f"{candidate.name} ({candidate.manifest['method']} on {base})"
    description = f"{made}: {params.metric} {decision.differences['baseline']} over {params.baseline}"
    return registry.add(run_id, tags, description, base)


def _result(
    params: RegistrationParams,
    candidate: Evaluated | None,
    champion: ModelVersion | None,
    summary: str,
    **facts: Any,
) -> Result:
    return {
        "accepted": False,
        "changed": False,
        "candidate": candidate.name if candidate else None,
        "key": candidate.key if candidate else None,
        "weights": candidate.weights if candidate else None,
        "test_sha256": candidate.test if candidate else None,
        "champion": _describe(champion),
        "previous_champion": None,
        "model_name": params.model_name,
        "alias": params.alias,
        "metric": params.metric,
        "differences": {},
        "verdict": "accepted" if facts.get("accepted") else "refused" if candidate else None,
        "opponents": {},
        "decisions_on_this_test_set": None,
        "summary": summary,
        **facts,
    }


def _describe(version: ModelVersion | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "version": int(version.version),
        "experiment": version.tags.get(NAME),
        "key": version.tags.get(KEY),
        "run_id": version.run_id,
    }


def _reigns(champion: ModelVersion | None) -> str:
    if champion is None:
        return "there is no champion yet"
    return f"{champion.tags.get(NAME)} (version {champion.version}) stays the champion"
