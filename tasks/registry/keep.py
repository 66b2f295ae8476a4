"""Write the result of a decision to the ledger, to the candidate's run, and to the files behind report and commands."""

from __future__ import annotations

import logging

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.gate.evaluated import REMEDY
from tasks.gate.params import AWAITING
from tasks.registry import journal
from tasks.registry.decisions import comparison_digest, decision_on, record
from tasks.registry.result import GateInputs, Result
from tasks.registry.run_note import note
from tasks.registry.verdict import lines_below, publish
from tasks.tracking.sync import sync

logger = logging.getLogger("tunesmith")


def run_of(name: str, inputs: GateInputs) -> str | None:
    """Sync the experiments to MLflow, and return the run id of ``name``. Its run holds the model and the scores."""
    results = sync(inputs.paths, inputs.tracker)
    inputs.registry.restore_serving({result.run_id for result in results})
    return {result.experiment: result.run_id for result in results}.get(name)


def compared_candidate(paths: Paths) -> str | None:
    """The candidate of the present comparison; None if it has none.

    Raises:
        TunesmithError: there is no comparison.
    """
    if comparison_digest(paths) is None:
        raise TunesmithError(f"{paths.comparison / 'comparison.json'}: no such file; {REMEDY}")
    return _compared(paths)


def _compared(paths: Paths) -> str | None:
    name: str | None = files.read_json(paths.comparison / "comparison.json")["candidate"]
    return name


def keep(result: Result, inputs: GateInputs, run_id: str | None) -> None:
    """Write a result to the ledger, to the candidate's run, and to the files behind report and commands.

    A version that the result is about awaits no approval any more, unless that is the result.
    """
    by_a_person = result["action"] != "gate"
    if by_a_person or not result["repeated"] or decision_on(inputs.paths, result["key"]) is None:
        record(inputs.paths, result | {"time": result["decided"]})
    if run_id is not None and result["reasons"]:
        note(inputs.tracker, run_id, result)
    show(result, inputs.paths)
    if result["version"] is not None and result["verdict"] != "awaiting":
        inputs.registry.drop_alias(AWAITING, result["version"])
    journal.end(inputs)


def show(result: Result, paths: Paths) -> None:
    """Write the result to the files that pages and commands read, and log it."""
    compared = comparison_digest(paths) is not None and result["candidate"] == _compared(paths)
    if result["comparison"] and compared and is_present(result, paths):
        publish(paths, result)
    with files.replacing(paths.state / "registration.json") as temporary:
        files.write_json(temporary, result)
    logger.info("%s", result["summary"])
    for line in lines_below(result):
        logger.info("  %s", line)


def is_present(result: Result, paths: Paths) -> bool:
    """Whether the result is about the model in the workspace, not about an earlier version of its experiment."""
    if result["key"] is None:
        return True
    manifest = paths.model(result["candidate"]) / "manifest.json"
    return manifest.exists() and bool(files.read_json(manifest)["key"] == result["key"])
