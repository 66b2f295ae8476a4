"""The journal of a promotion or a rejection: it is written before the first step, and removed after the last one.

A fault or a kill leaves it in the workspace. The next command that decides then completes the decision
(``tasks.register.interrupted``): it repeats all steps, each of which can be repeated.
"""

from __future__ import annotations

from typing import Any

from tasks.core import files
from tasks.core.paths import Paths
from tasks.register.verdict import Result

_FILE = "decision.json"


def begin(paths: Paths, result: Result, steps: dict[str, Any]) -> None:
    """Write the result of a decision, and what its steps need beside it."""
    with files.replacing(paths.state / _FILE) as temporary:
        files.write_json(temporary, {"result": result, "steps": steps})


def read(paths: Paths) -> tuple[Result, dict[str, Any]] | None:
    """The decision that was interrupted, as ``begin`` got it; None without one."""
    path = paths.state / _FILE
    if not path.exists():
        return None
    entry = files.read_json(path)
    return entry["result"], entry["steps"]


def end(paths: Paths) -> None:
    """Remove the journal."""
    (paths.state / _FILE).unlink(missing_ok=True)
