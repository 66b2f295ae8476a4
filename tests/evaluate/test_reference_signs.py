"""How often references of one row differ by a sign, worked by hand."""

from __future__ import annotations

from typing import Any

from tasks.evaluate.reference_signs import between_references
from tasks.metrics.params import IntervalParams

PARAMS = IntervalParams(resamples=100)


def row(number: int, *references: str) -> dict[str, Any]:
    return {"source": "s", "row_id": f"r{number}", "template_id": "t", "references": list(references)}


def test_pairs_of_references_that_differ_by_hand() -> None:
    rows = [
        row(0, "The lamp came.", "The lamp did not come.", "No lamp came."),  # 2 of 3 pairs differ in negation
        row(1, "She paid 5 dollars.", "She paid five dollars."),
        row(2, "She paid 5 dollars.", "She paid 6 dollars."),
        row(3, "alone"),  # has no pair
    ]
    floors = between_references(rows, PARAMS)
    assert floors["references_negation_differs"]["value"] == 2 / 9
    assert floors["references_numbers_differ"]["value"] == 1 / 3
    low, high = (floors["references_numbers_differ"][end] for end in ("low", "high"))
    assert low is not None and high is not None and low < 1 / 3 < high


def test_prompt_variants_of_a_row_count_once() -> None:
    twice = [row(0, "yes", "no"), row(0, "yes", "no") | {"template_id": "u"}, row(1, "yes", "yes")]
    assert between_references(twice, PARAMS)["references_negation_differs"]["value"] == 0.5


def test_without_several_references_nothing_is_compared() -> None:
    assert between_references([row(0, "a"), row(1, "b")], PARAMS) == {}
