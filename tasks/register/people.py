"""What people decide about registered versions: approve, reject, promote, roll back, or ask the gate again."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.compare.collect import folders
from tasks.core import files
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated, read
from tasks.gate.params import AWAITING, CHALLENGER, PREVIOUS, RegistrationParams
from tasks.register.judge import judge
from tasks.register.promote import promote
from tasks.register.version_scores import evaluated_version
from tasks.registry.carry_out import carry_out
from tasks.registry.decisions import gate_decision_on
from tasks.registry.keep import keep, run_of
from tasks.registry.opened import opened
from tasks.registry.result import GateInputs, Person, Result, champion_stays, describe, make_result, named
from tasks.registry.verdict import WORDS
from tasks.registry.versions import ensure_version, identity
from tasks.tracking.tag_names import KEY, NAME


def approve(version: str, person: Person, params: RegistrationParams, paths: Paths) -> Result:
    """Approve the version that awaits approval. The gate decides again, against the current champion.

    Raises:
        TunesmithError: the version does not await approval.
    """
    with opened(params, paths) as inputs:
        awaiting = _awaiting(version, inputs)
        inputs = replace(inputs, origin=_by(person, "approve"))
        result = judge(inputs, _candidate(awaiting, inputs), awaiting.run_id, approved=True)
        if result["verdict"] != "accepted":
            line = f"approved by {person.name} ({person.why}), but the gate does not accept it any more"
            result["reasons"] = [line, *result["reasons"]]
        keep(result, inputs, awaiting.run_id)
        return result


def reject(version: str, person: Person, params: RegistrationParams, paths: Paths) -> Result:
    """Reject the version that awaits approval: the champion stays, and the gate does not propose the version again.

    Raises:
        TunesmithError: the version does not await approval.
    """
    with opened(params, paths) as inputs:
        rejected = _awaiting(version, inputs)
        line = f"{named(rejected)} was rejected; {champion_stays(inputs.champion)}"
        reasons = [f"rejected by {person.name}: {person.why}"]
        facts = _by(person, "reject") | {"verdict": "rejected", "reasons": reasons}
        result = make_result(inputs, None, line, **identity(rejected), **facts)
        carry_out(inputs, rejected, result)
        keep(result, inputs, rejected.run_id)
        return result


def promote_by_hand(target: str, person: Person, params: RegistrationParams, paths: Paths) -> Result:
    """Make ``target``, a version's number or an experiment, the champion, whatever the gate decided.

    Raises:
        TunesmithError: there is no such version or experiment, or the experiment trains nothing.
    """
    with opened(params, paths) as inputs:
        version = _version(target, inputs, person)
        _refuse_champion(version, inputs)
        return _promoted(version, person, "promote", inputs)


def rollback(person: Person, params: RegistrationParams, paths: Paths) -> Result:
    """Swap the champion and the one before it.

    Raises:
        TunesmithError: there is no earlier champion.
    """
    with opened(params, paths) as inputs:
        previous = inputs.registry.version_at(PREVIOUS)
        if previous is None or inputs.champion is None:
            raise TunesmithError(
                f"rollback: models:/{params.model_name}@{PREVIOUS} must be the earlier champion; there "
                "is none; `tunesmith promote VERSION --why TEXT` makes any version the champion"
            )
        _refuse_champion(previous, inputs)
        return _promoted(previous, person, "rollback", inputs)


def challenge(target: str, params: RegistrationParams, paths: Paths) -> Result:
    """Let the gate decide on any version, or on the version of an experiment.

    Raises:
        TunesmithError: there is no such version or experiment.
    """
    with opened(params, paths) as inputs:
        if target in folders(paths.resolved) and not target.isdecimal():
            candidate, run_id = _trained(target, "challenge", inputs), run_of(target, inputs)
        else:
            version = inputs.registry.version(_number(target, inputs))
            candidate, run_id = _candidate(version, inputs), version.run_id
        result = judge(replace(inputs, origin={"action": "challenge"}), candidate, run_id)
        keep(result, inputs, run_id)
        return result


def registry_state(params: RegistrationParams, paths: Paths) -> dict[str, Any]:
    """Read the champion and the reason for it, and the versions beside it, from the registry alone.

    Returns:
        - ``champion``: version, experiment, key, run_id and by_hand, or None;
        - ``made`` and ``description``: time and description of its version;
        - ``promotion``: the decision that moved the alias to it; None if a person set the alias in MLflow;
        - ``last``: the latest decision;
        - ``previous``, ``challenger`` and ``awaiting``: described as the champion, or None.
    """
    from tasks.registry.decisions import at
    from tasks.registry.registry import Registry
    from tasks.tracking.client import open_store, readable_mlflow

    tracker = open_store(paths.root)
    with readable_mlflow(tracker.uri):
        registry = Registry(tracker, params.model_name, params.alias)
        exists = registry.exists()
        version = registry.champion() if exists else None
        aliases = {"previous": PREVIOUS, "challenger": CHALLENGER, "awaiting": AWAITING}
        unfinished = registry.unfinished() if exists else None
        if unfinished is not None:  # a decision on the version that awaited approval
            del aliases["awaiting"]
        return {
            "champion": describe(version),
            "made": at(version.creation_timestamp / 1000) if version else None,
            "description": version.description if version else None,
            "promotion": registry.promotion(version) if version else None,
            "last": registry.last() if exists else None,
            **{name: describe(registry.version_at(alias)) if exists else None for name, alias in aliases.items()},
        }


def _by(person: Person, action: str) -> dict[str, Any]:
    return {"action": action, "by": person.name, "why": person.why}


def _promoted(version: ModelVersion, person: Person, action: str, inputs: GateInputs) -> Result:
    verdict = {"promote": "promoted", "rollback": "restored"}[action]
    how = WORDS[verdict]
    reasons = [f"{'rolled back' if action == 'rollback' else how} by {person.name}: {person.why}"]
    rules: list[dict[str, Any]] = []
    if (before := gate_decision_on(inputs.paths, str(version.tags.get(KEY)))) is not None:
        reasons += [f"the gate's decision of {before['time']}: {before['summary']}", *before["reasons"]]
        rules = before.get("rules") or []
    facts = _by(person, action) | {"accepted": True, "verdict": verdict, "reasons": reasons, "rules": rules}
    result = promote(inputs, version, how, facts)
    keep(result, inputs, version.run_id)
    return result


def _awaiting(number: str, inputs: GateInputs) -> ModelVersion:
    version = inputs.registry.version(_number(number, inputs))
    awaiting = inputs.registry.version_at(AWAITING)
    if awaiting is None or str(awaiting.version) != str(version.version):
        present = "none does" if awaiting is None else f"version {awaiting.version} does"
        raise TunesmithError(
            f"models:/{version.name}/{version.version}: only a version that awaits approval can be approved or "
            f"rejected; {present}; `tunesmith promote {version.version} --why TEXT` makes it the champion without the "
            "gate"
        )
    return awaiting


def _number(target: str, inputs: GateInputs) -> str:
    """The version's number in ``3`` or ``models:/NAME/3``."""
    parts = re.fullmatch(rf"(models:/{re.escape(inputs.registry.name)}/)?([0-9]+)", target)
    if parts is None:
        raise TunesmithError(
            f"{target}: a version is a number, such as 3, or models:/{inputs.registry.name}/3; `tunesmith champion` "
            "lists the versions with an alias"
        )
    return parts[2]


def _version(target: str, inputs: GateInputs, person: Person) -> ModelVersion:
    """The version ``target``; that of an experiment is created if necessary."""
    known = sorted(folders(inputs.paths.resolved))
    if target not in known:
        if not re.fullmatch(r"(models:/.*/)?[0-9]+", target):
            raise TunesmithError(
                f"promote: no experiment {target!r} is built, and it is not the number of a version; the experiments "
                f"are: {', '.join(known) or 'none yet'}{did_you_mean(target, known)}"
            )
        return inputs.registry.version(_number(target, inputs))
    candidate = _trained(target, "promote", inputs)
    return ensure_version(inputs, run_of(target, inputs), candidate, {}, f"registered for {person.name}")


def _trained(name: str, action: str, inputs: GateInputs) -> Evaluated:
    """The experiment ``name``, which must be trained."""
    candidate = read(name, inputs.params.metric, inputs.paths)
    if not candidate.weights:
        raise TunesmithError(f"{action}: {name} is not trained (method none); only a tuned model can be the champion")
    return candidate


def _refuse_champion(version: ModelVersion, inputs: GateInputs) -> None:
    if inputs.champion is not None and str(inputs.champion.version) == str(version.version):
        raise TunesmithError(f"{named(version)} is the {inputs.params.alias} already; nothing changed")


def _candidate(version: ModelVersion, inputs: GateInputs) -> Evaluated:
    """The version as a candidate: from the files of its experiment, else evaluated on the present test rows."""
    name, metric = str(version.tags.get(NAME)), inputs.params.metric
    manifest = inputs.paths.model(name) / "manifest.json"
    if manifest.exists() and files.read_json(manifest)["key"] == version.tags.get(KEY):
        return read(name, metric, inputs.paths)
    reference = read(inputs.params.baseline, metric, inputs.paths)
    return evaluated_version(version, reference, metric, inputs.paths, inputs.tracker)
