"""The ledger of decisions: ``decisions.jsonl`` in the workspace, one JSON line per decision, versioned with git.

Lines are appended and never rewritten. Earlier versions wrote ``.tunesmith/decisions.jsonl``, which is read first.

A line has ``time`` (ISO 8601, UTC), ``candidate`` (experiment), ``key``, ``weights``, ``test_sha256``, ``comparison``
(digest of the ``comparison.json`` that was judged), ``verdict`` (a key of ``tasks.registry.verdict.WORDS``),
``accepted``, ``reasons``, ``summary``, ``metric``, ``differences``, ``opponents``, ``champion`` (the new one),
``decisions_on_this_test_set`` (those counted so far), ``action`` (``gate``, ``challenge``, ``approve``, ``reject``,
``promote`` or ``rollback``), ``by`` (who), ``why`` (the reason of a person), ``version`` (of the candidate), ``rules``
and ``previous_champion``. Lines of earlier versions lack some of these.

``tunesmith forget`` writes lines with ``time``, ``action`` (``forget``), ``rows`` (source → row_ids), ``by`` and
``why``.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import Any

from tasks.core import files
from tasks.core.paths import Paths

Decided = dict[str, Any]

COLUMNS = (
    *("time", "candidate", "key", "weights", "test_sha256", "comparison", "verdict", "accepted", "reasons", "summary"),
    *("metric", "differences", "opponents", "champion", "decisions_on_this_test_set"),
    *("action", "by", "why", "version", "rules", "previous_champion"),
)


def now() -> str:
    """The present time to the second, in ISO 8601, UTC."""
    return at(time.time())


def at(seconds: float) -> str:
    """Convert ``seconds`` since 1970 to ISO 8601, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def comparison_digest(paths: Paths) -> str | None:
    """sha256 of ``reports/comparison/comparison.json``; None if there is no comparison."""
    path = paths.comparison / "comparison.json"
    return files.sha256(path) if path.exists() else None


def decisions(paths: Paths) -> list[Decided]:
    """Read all decisions on models, the oldest first."""
    return [entry for entry in _entries(paths) if "key" in entry]


def _entries(paths: Paths) -> list[Decided]:
    kept = [path for path in (paths.state / "decisions.jsonl", paths.ledger) if path.exists()]
    lines = [line for path in kept for line in path.read_text(encoding="utf-8").split("\n")]
    return [entry for line in lines if (entry := _parsed(line))]


def decision_on(paths: Paths, key: str) -> Decided | None:
    """The latest decision on the model with ``key``; None if the gate has not decided on it."""
    return next((entry for entry in reversed(decisions(paths)) if entry["key"] == key), None)


def requests(paths: Paths) -> list[Decided]:
    """The requests to forget rows, the oldest first: ``time``, ``rows`` (source → row_ids), ``by`` and ``why``."""
    return [entry for entry in _entries(paths) if entry.get("action") == "forget"]


def gate_decision_on(paths: Paths, key: str) -> Decided | None:
    """The latest decision on the model with ``key`` that the gate made by its rules, not a person; None without one."""
    by_rules = ("accepted", "awaiting", "refused", "undecided")
    actions = ("gate", "challenge", "approve")
    entries = [
        one
        for one in reversed(decisions(paths))
        if one["key"] == key and one.get("action", "gate") in actions and one.get("verdict") in by_rules
    ]
    # A repeated refusal has no rules of its own.
    return next((one for one in entries if one.get("rules")), entries[0] if entries else None)


def change_after(paths: Paths, decision: Decided) -> Decided | None:
    """The latest decision after ``decision`` that moved the champion's alias; None without one.

    Two decisions may share one second. Their order in the ledger then decides.
    """
    entries, facts = decisions(paths), ("key", "time", "verdict")
    own = [number for number, one in enumerate(entries) if all(one.get(fact) == decision[fact] for fact in facts)]
    after = entries[own[-1] + 1 :] if own else [one for one in entries if one["time"] > decision["time"]]
    # A repeated challenge of the champion is a later line with the time of the first decision.
    moved = [
        one
        for one in after
        if one["time"] >= decision["time"] and one.get("verdict") in ("accepted", "promoted", "restored")
    ]
    return moved[-1] if moved else None


def record(paths: Paths, result: Decided) -> None:
    """Append the decision in ``result``, unless the latest one on the same model differs from it only in time."""
    entry = {name: result.get(name) for name in COLUMNS}
    before = decision_on(paths, str(entry["key"]))
    if before is not None and before | {"time": None} == entry | {"time": None}:
        return
    append(paths, entry)


def append(paths: Paths, entry: Decided) -> None:
    """Append a line to the ledger. ``decisions`` reads the lines with ``key``, ``requests`` those about rows."""
    with paths.ledger.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        # A process that was killed while writing may have left half a line.
        start = "" if file.read(1) in (b"", b"\n") else "\n"
        file.write(f"{start}{files.canonical_json(entry)}\n".encode())


def _parsed(line: str) -> Decided | None:
    """The entry on one line; None for an empty line, or for one that a killed process left half-written."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
