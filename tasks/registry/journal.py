"""The result of a promotion or a rejection, kept in the workspace until ledger, run and files have it.

A fault or a kill leaves it there. ``tasks.registry.interrupted`` then records the decision. Each registry has a file of
its own, since a workspace can use several.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from tasks.core import files
from tasks.registry.result import GateInputs, Result

logger = logging.getLogger("tunesmith")


def begin(inputs: GateInputs, result: Result) -> None:
    """Write the result of a decision."""
    with files.replacing(path(inputs)) as temporary:
        files.write_json(temporary, result)


def read(inputs: GateInputs) -> Result | None:
    """The result that is not recorded yet; None without one."""
    file = path(inputs)
    if not file.exists():
        return None
    try:
        result: Result = files.read_json(file)
    except json.JSONDecodeError:
        logger.warning("%s: removed, since it is cut off; the ledger lacks the decision that was in it", file)
        end(inputs)
        return None
    return result


def end(inputs: GateInputs) -> None:
    """Remove the result."""
    path(inputs).unlink(missing_ok=True)


def path(inputs: GateInputs) -> Path:
    """The file of the registry of ``inputs``."""
    registry = files.digest([inputs.tracker.uri, inputs.registry.name, inputs.registry.alias])
    return inputs.paths.state / f"decision-{registry[:8]}.json"
