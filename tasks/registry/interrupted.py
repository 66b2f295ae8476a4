"""Record a decision that a fault or a kill interrupted after it was carried out."""

from __future__ import annotations

import logging

from tasks.registry import journal
from tasks.registry.decisions import record
from tasks.registry.keep import keep
from tasks.registry.result import GateInputs, Result, champion_stays
from tasks.registry.versions import is_noted

logger = logging.getLogger("tunesmith")


def record_interrupted(inputs: GateInputs) -> Result | None:
    """Record the decision that this workspace left unrecorded. A decision that was not carried out is not recorded.

    Returns:
        Its result. None if there is none, or if another workspace has changed the champion since: then only the ledger
        gets the decision.
    """
    result = journal.read(inputs)
    if result is None:
        return None
    version = inputs.registry.find(result["version"])
    if version is None or not is_noted(version, result):
        logger.warning(
            "an interrupted decision is not recorded, since it was not carried out, or a later decision on the same "
            "version replaced it: %s",
            result["summary"],
        )
    elif result["changed"] and (inputs.champion is None or int(inputs.champion.version) != result["version"]):
        logger.warning("an interrupted decision is recorded: %s", result["summary"])
        logger.warning("another workspace has decided since: %s", champion_stays(inputs.champion))
        record(inputs.paths, result | {"time": result["decided"]})
    else:
        keep(result, inputs, version.run_id)
        return result
    journal.end(inputs)
    return None
