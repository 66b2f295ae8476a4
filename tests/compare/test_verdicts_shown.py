"""How reports show verdicts and marks."""

from __future__ import annotations

from tasks.compare.cells import outcome
from tasks.compare.table import markdown_table
from tests.compare.compared import Workspace, comparison_of, page_of


def test_verdicts_are_written_out(full: Workspace) -> None:
    comparison = comparison_of(full)
    entry = next(entry for entry in comparison["systems"] if entry["name"] == "lora")
    difference = entry["differences"]["rouge1_f"]
    written = []
    for verdict, adjusted in (("worse", True), ("better", False), ("same", False), ("not enough rows", False)):
        difference |= {"verdict": verdict, "adjusted": adjusted, "rows_needed": 746}
        written.append(str(outcome(entry, "rouge1_f")))
    assert written == ["worse", "better, unadjusted", "same", "not enough rows (~746 rows needed)"]
    assert str(outcome(entry, "copied_4grams")) == str(outcome(entry, "bleu")) == "–"
    difference |= {"verdict": "same"}
    assert "Same: within 3.0 points." in markdown_table(comparison)


def test_a_comparison_of_an_earlier_version_is_shown_without_marks(full: Workspace) -> None:
    comparison = comparison_of(full)
    for name in ("adjusted_for", "groups", "verdicts"):
        del comparison[name]
    for entry in comparison["systems"]:
        del entry["opponents"]
        for difference in (entry["differences"] or {}).values():
            kept = {name: difference[name] for name in ("value", "low", "high", "rows")}
            difference.clear()
            difference |= kept | {"real": True}
    table, page = markdown_table(comparison), page_of(comparison)
    assert "| +25.0 [+15.8, +34.2] |" in table and "| verdict |" not in table and "bold" not in table
    assert "<h3>To base</h3>" in page and "adjusted" not in page
