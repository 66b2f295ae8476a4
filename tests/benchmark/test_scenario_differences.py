"""Accuracy of two models on a HELM scenario, by hand."""

from __future__ import annotations

from typing import Any

from tasks.benchmark.scenario_differences import accuracy_differences, line
from tasks.metrics.params import IntervalParams, VerdictParams

INTERVALS = IntervalParams(resamples=200, confidence=0.95, seed=0)


def rows(scores: list[float], variant: str = "original") -> list[dict[str, Any]]:
    return [
        {"scenario": "boolq", "instance": str(i), "variant": variant, "score": score} for i, score in enumerate(scores)
    ]


def verdict(base: list[float], ours: list[float]) -> str:
    entries = accuracy_differences(rows(base), rows(ours), ["boolq"], INTERVALS, VerdictParams())
    return str(entries["boolq"]["verdict"])


def test_each_verdict() -> None:
    assert verdict([0.0] * 40, [1.0] * 20 + [0.0] * 20) == "better"
    assert verdict([1.0] * 40, [1.0] * 20 + [0.0] * 20) == "worse"
    assert verdict([1.0] * 40, [1.0] * 40) == "same"
    assert verdict([1.0, 0.0] * 20, [0.0, 1.0] * 20) == "not enough rows"
    assert verdict([0.0] * 20, [1.0] * 20) == "not enough rows", "fewer than 30 rows"


def test_rows_about_one_passage_are_one_group() -> None:
    """Forty rows about two passages are two groups, also if the result of one model lacks them."""
    before, after = rows([0.0] * 40), rows([1.0] * 40)
    for number, row in enumerate(after):
        row["independent_group"] = "ab"[number % 2]
    for base, ours in ((before, after), (after, before)):
        entry = accuracy_differences(base, ours, ["boolq"], INTERVALS, VerdictParams())["boolq"]
        assert (entry["rows"], entry["groups"], entry["verdict"]) == (40, 2, "not enough rows")


def test_only_original_rows_that_both_have_are_compared() -> None:
    base = [*rows([1.0, 0.0, 1.0]), *rows([0.0] * 3, "typos")]
    ours = [*rows([1.0, 1.0]), *rows([1.0] * 3, "typos")]
    entry = accuracy_differences(base, ours, ["boolq", "rte"], INTERVALS, VerdictParams(min_groups=2))
    assert list(entry) == ["boolq"] and (entry["boolq"]["value"], entry["boolq"]["rows"]) == (0.5, 2)
    # The t interval of 0 and 1 is 0.5 ± 12.706 * 0.5. To be as narrow as 0.03, it needs (12.7062 / 0.03)² * 2 rows.
    assert line("lora", "base", "boolq", entry["boolq"]) == (
        "boolq: accuracy of lora − base: +0.500 [-5.853, +6.853] on 2 rows: not enough rows (~358773 rows needed)"
    )
