"""The gate's verdict on a comparison: stored under the comparison's digest, shown by the report and by commands."""

from __future__ import annotations

from typing import Any

from tasks.core import files
from tasks.core.paths import Paths
from tasks.registry.decisions import change_after, comparison_digest

Result = dict[str, Any]

WORDS = {
    "accepted": "accepted",
    "awaiting": "awaits approval",
    "promoted": "promoted by hand",
    "restored": "restored by rollback",
    "refused": "refused",
    "rejected": "rejected",
    "undecided": "not decided",
    None: "no candidate",
}


def publish(paths: Paths, result: Result) -> None:
    """Write ``result`` under the digest of the comparison that it judged.

    A comparison that DVC restores thus has its own verdict, or none.
    """
    with files.replacing(paths.gate(str(result["comparison"]))) as temporary:
        files.write_json(temporary, result)


def result_on_present(paths: Paths) -> Result | None:
    """The verdict on the present comparison; None if the gate has not judged it."""
    digest = comparison_digest(paths)
    path = paths.gate(digest) if digest else None
    return files.read_json(path) if path and path.exists() else None


def last_result(paths: Paths) -> Result | None:
    """The latest result, on any comparison; None without one."""
    path = paths.state / "registration.json"
    return files.read_json(path) if path.exists() else None


def repeats(result: Result, before: Result | None) -> bool:
    """Whether ``result`` only confirms ``before``, the result of an earlier run."""
    names = ("verdict", "candidate", "key", "version", "champion", "comparison")
    return before is not None and all(result[name] == before.get(name) for name in names)


def lines_below(result: Result) -> list[str]:
    """The lines below a result's summary: its reasons, and how often its test set decided so far."""
    count = result.get("decisions_on_this_test_set")
    return [*result["reasons"], *([] if count is None else [f"decisions on this test set: {count}"])]


def gate_lines(paths: Paths) -> list[str]:
    """The verdict on the present comparison as lines of text, or a line that there is none yet."""
    result = result_on_present(paths)
    if result is not None:
        judged = f"{result['time']}, on comparison {str(result['comparison'])[:8]}"
        lines = [f"gate: {result['summary']} ({judged})", *(f"  {line}" for line in lines_below(result))]
        if (later := change_after(paths, result)) is not None:
            lines.append(f"  since then ({later['time']}): {later['summary']}")
        return lines
    lines = ["gate: no decision on this comparison yet; `tunesmith run` makes one"]
    last = last_result(paths)
    if last is not None:
        lines.append(
            f"  latest result, on another model or comparison ({last.get('time', 'earlier')}): {last['summary']}"
        )
    return lines
