"""``register``: let the gate decide on the comparison's candidate, and move the alias if it is accepted.

This step is outside DVC. It reads ``reports/`` and ``models/``. It writes the MLflow registry, the candidate's MLflow
run, ``reports/gate/`` (the result for this comparison), ``.tunesmith/registration.json`` (the last result) and
``.tunesmith/decisions.jsonl`` (every decision).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock

from tasks.compare.collect import folders
from tasks.core import files
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.paths import Paths
from tasks.register.decisions import at, decision_on, record
from tasks.register.evaluated import REMEDY, read
from tasks.register.judge import judge, promote
from tasks.register.params import RegistrationParams
from tasks.register.registry import Registry
from tasks.register.result import GateInputs, Result, champion_stays, describe, make_result
from tasks.register.run_note import note
from tasks.register.verdict import lines_below, publish
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tracking.sync import sync

logger = logging.getLogger("tunesmith")


def run(params: RegistrationParams, paths: Paths) -> Result:
    """Decide on the candidate; a refusal is a result, not an error.

    Returns:
        - ``verdict``: ``accepted``, ``refused`` or ``undecided``; None without a candidate;
        - ``accepted``: whether the candidate is the champion now; ``changed``: whether the alias moved;
        - ``candidate``, ``champion`` and ``previous_champion``: version, experiment, key and run_id, or None;
        - ``reasons`` and ``summary``; ``differences`` and ``opponents``, which have the same keys;
        - ``time`` of this result; ``decided``: time of the decision, which may be an earlier one; ``by``: who decided;
        - ``comparison``: digest of the comparison that was judged;
        - ``decisions_on_this_test_set``: number of different decisions so far; None without a candidate.

    Raises:
        TunesmithError: something that the decision needs is missing, stale or not comparable.
    """
    with _opened(params, paths) as inputs:
        name = _candidate(paths)
        if name is None:
            reason = "reports/comparison/comparison.json names no candidate"
            result = make_result(inputs, None, f"no candidate; {champion_stays(inputs.champion)}", reasons=[reason])
            _publish(result, paths)
            return result
        candidate = read(name, params.metric, paths)
        run_id = _run_of(name, inputs)
        result = judge(inputs, candidate, run_id)
        _keep(result, inputs, run_id)
        return result


def set_champion(name: str, because: str, params: RegistrationParams, paths: Paths) -> Result:
    """Make the experiment ``name`` the champion, whatever the gate decided; ``because`` is stored as the reason.

    Raises:
        TunesmithError: ``name`` is not a trained experiment, or its files are missing or stale.
    """
    known = sorted(folders(paths.resolved))
    if name not in known:
        raise TunesmithError(
            f"champion: no experiment {name!r} is built; there are: {', '.join(known) or 'none yet'}"
            f"{did_you_mean(name, known)}; `tunesmith run` builds the experiments of params/experiments.yaml"
        )
    with _opened(params, paths) as inputs:
        candidate = read(name, params.metric, paths)
        if not candidate.weights:
            raise TunesmithError(
                f"champion: {name} is not trained (method none); only a tuned model can be the champion"
            )
        run_id = _run_of(name, inputs)
        facts = {"accepted": True, "verdict": "accepted", "by": "a person", "reasons": [f"set by a person: {because}"]}
        result = promote(inputs, candidate, {}, run_id, f"set by a person: {because}", facts)
        _keep(result, inputs, run_id)
        return result


def current_champion(params: RegistrationParams, paths: Paths) -> dict[str, Any]:
    """Read the champion and the reason for it from the registry alone.

    Returns:
        - ``champion``: version, experiment, key and run_id, or None;
        - ``made`` and ``description``: time and description of its version;
        - ``promotion``: the decision that moved the alias to it; None if a person set the alias in MLflow;
        - ``last``: the latest decision.
    """
    tracker = open_store(paths.root)
    with readable_mlflow(tracker.uri):
        registry = Registry(tracker, params.model_name, params.alias)
        version = registry.champion() if registry.exists() else None
        return {
            "champion": describe(version),
            "made": at(version.creation_timestamp / 1000) if version else None,
            "description": version.description if version else None,
            "promotion": registry.promotion(version) if version else None,
            "last": registry.last() if registry.exists() else None,
        }


@contextmanager
def _opened(params: RegistrationParams, paths: Paths) -> Iterator[GateInputs]:
    """Open the registry with its current champion, for one process at a time."""
    paths.state.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.state / "register.lock"):
        tracker = open_store(paths.root)
        with readable_mlflow(tracker.uri):
            registry = Registry(tracker, params.model_name, params.alias)
            registry.ensure()
            yield GateInputs(params, paths, tracker, registry, registry.champion())


def _run_of(name: str, inputs: GateInputs) -> str | None:
    """Sync the experiments to MLflow, and return the run id of ``name``. Its run holds the model and the scores."""
    results = sync(inputs.paths, inputs.tracker)
    inputs.registry.restore_serving({result.run_id for result in results if result.changed})
    return {result.experiment: result.run_id for result in results}.get(name)


def _candidate(paths: Paths) -> str | None:
    path = paths.comparison / "comparison.json"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; {REMEDY}")
    name: str | None = files.read_json(path)["candidate"]
    return name


def _keep(result: Result, inputs: GateInputs, run_id: str | None) -> None:
    """Write a result to the candidate's run, the record of decisions, and the files that pages and commands read."""
    if run_id is not None and result["reasons"]:
        note(inputs.tracker, run_id, result)
    if result["decided"] == result["time"] or decision_on(inputs.paths, result["key"]) is None:
        record(inputs.paths, result | {"time": result["decided"]})
    _publish(result, inputs.paths)


def _publish(result: Result, paths: Paths) -> None:
    if result["comparison"] and result["candidate"] == _candidate(paths):
        publish(paths, result)
    with files.replacing(paths.state / "registration.json") as temporary:
        files.write_json(temporary, result)
    logger.info("%s", result["summary"])
    for line in lines_below(result):
        logger.info("  %s", line)
