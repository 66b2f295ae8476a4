"""Record a decision that a fault or a kill interrupted after it was carried out."""

from __future__ import annotations

import logging

from tasks.register import journal
from tasks.register.keep import keep
from tasks.register.result import GateInputs, Result
from tasks.register.versions import is_noted

logger = logging.getLogger("tunesmith")


def record_interrupted(inputs: GateInputs) -> Result | None:
    """Record the decision that this workspace left unrecorded; its result, or None if there is none.

    A decision that was not carried out is not recorded.
    """
    result = journal.read(inputs.paths)
    if result is None:
        return None
    version = inputs.registry.find(result["version"])
    if version is None or not is_noted(version, result):
        logger.warning(
            "an interrupted decision is not recorded, since it was not carried out, or a later decision on the same "
            "version replaced it: %s",
            result["summary"],
        )
        journal.end(inputs.paths)
        return None
    keep(result, inputs, version.run_id)
    return result
