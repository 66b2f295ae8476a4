"""A comparison as ``compare`` writes it, with what the ledger shows of it."""

from __future__ import annotations

from typing import Any

from tasks.core.files import write_json
from tasks.core.paths import Paths
from tests.tracking.ledger_workspace import key_of

Comparison = dict[str, Any]


def entry(name: str, score: float, verdict: str | None) -> dict[str, Any]:
    """A system whose difference to the base, which scores 0.2, has this verdict; None for the base itself."""
    difference = {"value": score - 0.2, "low": score - 0.25, "high": score - 0.15, "verdict": verdict, "adjusted": True}
    if verdict == "not enough rows":
        difference["rows_needed"] = 40
    return {
        "name": name,
        "kind": "experiment",
        "key": key_of(name),
        "tuned": verdict is not None,
        "candidate": name == "lora",
        "metrics": {"rouge1_f": {"value": score, "low": score - 0.05, "high": score + 0.05}},
        "differences": None if verdict is None else {"rouge1_f": difference},
    }


def compared(*systems: dict[str, Any]) -> Comparison:
    return {
        "metric": "rouge1_f",
        "rows": 3,
        "candidate": "lora",
        "baseline": {"name": "base", "compared": True, "note": None},
        "systems": list(systems),
    }


def write_comparison(paths: Paths, comparison: Comparison) -> None:
    paths.comparison.mkdir(parents=True, exist_ok=True)
    write_json(paths.comparison / "comparison.json", comparison)
    (paths.comparison / "table.md").write_text("| system |\n")
