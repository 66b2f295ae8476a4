"""``register``: ask the gate for the candidate of the comparison, and move the alias or leave it.

A side effect outside DVC: reads ``reports/`` and ``models/``, writes the MLflow registry, the candidate's MLflow run,
``reports/gate/`` (the result for this comparison), ``.tunesmith/registration.json`` (the last result) and
``.tunesmith/decisions.jsonl`` (every decision).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock

from tasks.core import files
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.paths import Paths
from tasks.register.ask import ask, crown
from tasks.register.decisions import at, decision_on, record
from tasks.register.evaluated import REMEDY, read
from tasks.register.noted import note
from tasks.register.params import RegistrationParams
from tasks.register.registry import Registry
from tasks.register.result import Question, Result, describe, reigns, result
from tasks.register.verdict import publish
from tasks.tracking.client import open_store, readable_mlflow
from tasks.tracking.sync import sync

logger = logging.getLogger("tunesmith")


def run(params: RegistrationParams, paths: Paths) -> Result:
    """Decide on the candidate; a refusal is a result, not an error.

    Keys: ``verdict`` (``accepted``, ``refused``, ``undecided``; None without a candidate), ``accepted`` (the candidate
    reigns now), ``changed`` (the alias moved), ``candidate``, ``champion`` and ``previous_champion`` (version,
    experiment, key, run_id; or None), ``reasons``, ``differences`` and ``opponents`` (under the same keys),
    ``summary``, ``time`` (of this result), ``decided`` (time of the decision that it repeats, or the same), ``by``
    (who decided), ``comparison`` (its digest), ``decisions_on_this_test_set`` (None where the gate compared nothing).

    Raises:
        TunesmithError: something that the decision needs is missing, stale or not comparable.
    """
    with _opened(params, paths) as question:
        name = _candidate(paths)
        if name is None:
            reason = "reports/comparison/comparison.json names no candidate"
            answer = result(question, None, f"no candidate; {reigns(question.champion)}", reasons=[reason])
            _publish(answer, paths)
            return answer
        candidate = read(name, params.metric, paths)
        run_id = _run_of(name, question)
        answer = ask(question, candidate, run_id)
        _keep(answer, question, run_id)
        return answer


def set_champion(name: str, because: str, params: RegistrationParams, paths: Paths) -> Result:
    """Move the alias to the experiment ``name``, whatever the gate decided; ``because`` is kept as the reason.

    Raises:
        TunesmithError: it is no trained experiment, or its files are missing or stale.
    """
    known = sorted(folder.name for folder in paths.resolved.iterdir()) if paths.resolved.is_dir() else []
    if name not in known:
        raise TunesmithError(
            f"champion: no experiment {name!r} is built; there are: {', '.join(known) or 'none yet'}"
            f"{did_you_mean(name, known)}; `tunesmith run` builds the experiments of params/experiments.yaml"
        )
    with _opened(params, paths) as question:
        candidate = read(name, params.metric, paths)
        if not candidate.weights:
            raise TunesmithError(f"champion: {name} is not trained (method none); only a tuned model can reign")
        run_id = _run_of(name, question)
        facts = {"accepted": True, "verdict": "accepted", "by": "a person", "reasons": [f"set by a person: {because}"]}
        answer = crown(question, candidate, {}, run_id, f"set by a person: {because}", facts)
        _keep(answer, question, run_id)
        return answer


def reigning(params: RegistrationParams, paths: Paths) -> dict[str, Any]:
    """The champion and the reason for it, from the registry alone.

    Keys: ``champion`` (version, experiment, key, run_id; None without one), ``made`` (when its version was made),
    ``description`` (of the version), ``crowned`` (the decision that moved the alias to it; None where a person set the
    alias in MLflow), and ``last`` (the latest decision).
    """
    tracker = open_store(paths.root)
    with readable_mlflow(tracker.uri):
        registry = Registry(tracker, params.model_name, params.alias)
        version = registry.champion() if registry.exists() else None
        return {
            "champion": describe(version),
            "made": at(version.creation_timestamp / 1000) if version else None,
            "description": version.description if version else None,
            "crowned": registry.crowned(version) if version else None,
            "last": registry.last() if registry.exists() else None,
        }


@contextmanager
def _opened(params: RegistrationParams, paths: Paths) -> Iterator[Question]:
    """Open the registry with its current champion, for one process at a time."""
    paths.state.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.state / "register.lock"):
        tracker = open_store(paths.root)
        with readable_mlflow(tracker.uri):
            registry = Registry(tracker, params.model_name, params.alias)
            registry.ensure()
            yield Question(params, paths, tracker, registry, registry.champion())


def _run_of(name: str, question: Question) -> str | None:
    """Complete and return the MLflow run of an experiment: it holds a version's model and a champion's scores."""
    return {synced.experiment: synced.run_id for synced in sync(question.paths, question.tracker)}.get(name)


def _candidate(paths: Paths) -> str | None:
    path = paths.comparison / "comparison.json"
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; {REMEDY}")
    name: str | None = files.read_json(path)["candidate"]
    return name


def _keep(answer: Result, question: Question, run_id: str | None) -> None:
    """Write a result into the candidate's run, the record of decisions and the files that pages and commands read."""
    if run_id is not None and answer["reasons"]:
        note(question.tracker, run_id, answer)
    if answer["decided"] == answer["time"] or decision_on(question.paths, answer["key"]) is None:
        record(question.paths, answer | {"time": answer["decided"]})
    _publish(answer, question.paths)


def _publish(answer: Result, paths: Paths) -> None:
    if answer["comparison"] and answer["candidate"] == _candidate(paths):
        publish(paths, answer)
    with files.replacing(paths.state / "registration.json") as temporary:
        files.write_json(temporary, answer)
    logger.info("%s", answer["summary"])
    for reason in answer["reasons"]:
        logger.info("  %s", reason)
