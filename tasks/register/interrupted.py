"""Complete a decision that a fault or a kill interrupted."""

from __future__ import annotations

import logging

from tasks.register import journal
from tasks.register.keep import keep
from tasks.register.result import GateInputs, Result
from tasks.register.versions import move, reject

logger = logging.getLogger("tunesmith")


def complete(inputs: GateInputs) -> Result | None:
    """Complete the decision in the journal; its result, or None if there is none.

    If another workspace has changed the champion since, it stays. The decision is recorded nevertheless.
    """
    entry = journal.read(inputs.paths)
    if entry is None:
        return None
    result, steps = entry
    logger.warning("an interrupted decision is completed: %s", result["summary"])
    version = inputs.registry.version(str(result["version"]))
    if "rejected" in steps:
        reject(inputs, version, result, steps)
    else:
        before, present = result["previous_champion"], inputs.registry.champion()
        expected = {result["version"], before and before["version"]}
        if (present and int(present.version)) in expected:
            move(inputs, version, result, steps)
        else:
            stays = f"version {present.version} became the champion" if present else "the champion's alias was removed"
            logger.warning("the interrupted decision does not move the champion: %s meanwhile", stays)
            result |= {"changed": False}
    keep(result, inputs, version.run_id)
    return result
