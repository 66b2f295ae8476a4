"""The result of a promotion or a rejection, kept in the workspace until ledger, run and files have it.

A fault or a kill leaves it there. ``tasks.register.interrupted`` then records the decision.
"""

from __future__ import annotations

import json
import logging

from tasks.core import files
from tasks.core.paths import Paths
from tasks.register.verdict import Result

logger = logging.getLogger("tunesmith")

_FILE = "decision.json"


def begin(paths: Paths, result: Result) -> None:
    """Write the result of a decision."""
    with files.replacing(paths.state / _FILE) as temporary:
        files.write_json(temporary, result)


def read(paths: Paths) -> Result | None:
    """The result that is not recorded yet; None without one."""
    path = paths.state / _FILE
    if not path.exists():
        return None
    try:
        result: Result = files.read_json(path)
    except json.JSONDecodeError:
        logger.warning("%s: removed, since it is cut off; the ledger lacks the decision that was in it", path)
        end(paths)
        return None
    return result


def end(paths: Paths) -> None:
    """Remove the result."""
    (paths.state / _FILE).unlink(missing_ok=True)
