"""``tasks.metrics.verdicts``: four outcomes, retention as non-inferiority, and marks adjusted for their number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tasks.metrics.differences import Difference
from tasks.metrics.params import VerdictParams
from tasks.metrics.verdicts import (
    Kept,
    holm,
    marked,
    p_value,
    retained,
    retained_entries,
    rows_needed,
    rows_to_decide,
    verdict,
)

PARAMS = VerdictParams(margin=0.03, min_groups=30)


def test_a_named_margin_leaves_the_others_at_their_defaults() -> None:
    params = VerdictParams(margins={"bleu": 2.0})
    assert [params.margin_of(name) for name in ("bleu", "chrf", "loss_per_byte", "rouge1_f")] == [2.0, 3.0, 0.01, 0.03]


@pytest.mark.parametrize(
    "keys", [{"margin": 3}, {"margin": 0}, {"margins": {"bleu": 0.0}}, {"margins": {"bleu": -1.0}}]
)
def test_a_margin_must_be_above_zero_and_that_of_scores_up_to_1_below_1(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="margin"):
        VerdictParams(**keys)


def difference(value: float, error: float, groups: int = 100, rows: int | None = None) -> Difference:
    return Difference(value, value - 2 * error, value + 2 * error, rows or groups, groups, error, 0.5)


@pytest.mark.parametrize(
    ("value", "error", "groups", "expected"),
    [
        (0.10, 0.02, 100, "better"),
        (-0.10, 0.02, 100, "worse"),
        (0.00, 0.01, 100, "same"),
        (0.00, 0.02, 100, "not enough rows"),
        (0.10, 0.02, 29, "not enough rows"),
        (0.01, 0.002, 100, "better"),  # small, but shown
    ],
)
def test_four_outcomes(value: float, error: float, groups: int, expected: str) -> None:
    assert verdict(difference(value, error, groups), 0.03, PARAMS) == expected


def test_rows_needed_make_the_interval_narrower_than_the_margin() -> None:
    # 100 groups of 10 rows have an interval of 0.12, four times the margin: it needs 16 times as many.
    assert rows_needed(difference(0.0, 0.03, 100, 1000), 0.03, PARAMS) == pytest.approx(16_000, abs=1)
    assert rows_needed(difference(0.0, 0.0, 5), 0.03, PARAMS) == 30


@pytest.mark.parametrize("value", [0.0, 0.005, 0.0151, 0.02, -0.0299])
def test_an_undecided_difference_needs_more_rows_than_it_has(value: float) -> None:
    for error in np.linspace(0.001, 0.1, 100):
        seen = difference(value, float(error))
        if verdict(seen, 0.03, PARAMS) == "not enough rows":
            assert rows_needed(seen, 0.03, PARAMS) > seen.rows
        else:
            assert error < 0.03


def test_only_a_difference_with_a_verdict_can_be_marked() -> None:
    assert p_value(difference(0.10, 0.02), PARAMS) == 0.5
    assert p_value(difference(0.10, 0.06), PARAMS) == p_value(difference(0.10, 0.02, groups=29), PARAMS) == 1.0


def kept(value: float, error: float, groups: int = 200, span: float = 1.0) -> dict[str, Kept]:
    return {"task": Kept(difference(value, error, groups), 0.03, span)}


def test_a_small_set_of_rows_keeps_nothing() -> None:
    assert retained(kept(-0.05, 0.05), 0.95, PARAMS) == {"task": "undecided"}
    assert retained(kept(0.0, 0.001, 10), 0.95, PARAMS) == {"task": "undecided"}


def test_equal_rows_keep_a_task_only_where_a_loss_would_show() -> None:
    """Of 121 rows none shows a loss of 3 points with probability 0.97 ** 121 = 0.0251, of 122 with 0.0243."""
    assert retained(kept(0.0, 0.0, 121), 0.95, PARAMS) == {"task": "undecided"}
    assert retained(kept(0.0, 0.0, 122), 0.95, PARAMS) == {"task": "kept"}
    assert retained(kept(0.0, 0.0, 30, span=0.0), 0.95, PARAMS) == {"task": "kept"}
    # Of two tasks each needs half the probability: 0.97 ** 143 = 0.0128, 0.97 ** 144 = 0.0124.
    for groups, verdict_of_both in ((143, "undecided"), (144, "kept")):
        both = {key: kept(0.0, 0.0, groups)["task"] for key in "ab"}
        assert retained(both, 0.95, PARAMS) == dict.fromkeys("ab", verdict_of_both)


def test_a_loss_may_hide_in_a_heavy_group() -> None:
    """If a group weighs five times the average one, a loss of 3 points may be in 0.6 % of the groups alone."""
    equal = kept(0.0, 0.0, 122)["task"]
    heavy = replace(equal, difference=replace(equal.difference, heaviest=5.0))
    assert (equal.hidden, heavy.hidden) == (pytest.approx(0.97**122), pytest.approx(0.994**122))
    assert retained({"task": heavy}, 0.95, PARAMS) == {"task": "undecided"}
    assert rows_to_decide(heavy, 1, 0.95, PARAMS) == 613  # log(0.025) / log(0.994) = 612.97
    assert replace(heavy, margin=5.0).hidden == 0.0, "no loss is as large as the margin"


@pytest.mark.parametrize("weights", [[1.0] * 40, [8.0] + [1.0] * 32, [4.0] * 5 + [1.0] * 20])
def test_no_distribution_of_a_loss_hides_it_more_often(weights: list[float]) -> None:
    """A loss of the margin is spread over the groups at random; ``hidden`` bounds how often none of them shows it."""
    random, shares = np.random.default_rng(0), np.array(weights) / sum(weights)
    count = len(weights)
    bound = Kept(replace(difference(0.0, 0.0, count), heaviest=float(shares.max() * count)), 0.1).hidden
    spread = [random.dirichlet(np.full(count, random.choice([0.3, 1.0, 20.0]))) for _ in range(300)]
    hidden = [np.prod(1 - losing) for losing in (0.1 * part / shares for part in spread) if (losing <= 1).all()]
    assert len(hidden) > 100 and max(hidden) <= bound + 1e-12


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.0, 0.01, "kept"),
        (-0.01, 0.002, "kept"),
        (-0.10, 0.02, "lost"),
        (0.10, 0.02, "gained"),
        (0, 0.03, "undecided"),
    ],
)
def test_kept_means_that_a_loss_beyond_the_margin_is_ruled_out(value: float, error: float, expected: str) -> None:
    assert retained(kept(value, error), 0.95, PARAMS) == {"task": expected}


def test_one_loss_of_many_tasks_must_be_clearer() -> None:
    lost = kept(-0.10, 0.045)
    assert retained(lost, 0.95, PARAMS) == {"task": "lost"}
    many = lost | {str(number): kept(0.0, 0.045)["task"] for number in range(9)}
    assert retained(many, 0.95, PARAMS)["task"] == "undecided"


def test_the_rows_that_decide_on_a_task_by_hand() -> None:
    # 2 * 1.972 * 0.03 = 0.1183 is 3.944 times the margin, so 15.55 times the 200 rows are needed; each group has 2.
    wide = Kept(difference(0.0, 0.03, 200, rows=400), 0.03)
    assert rows_to_decide(wide, 1, 0.95, PARAMS) == pytest.approx(2 * 200 * 3.944**2, rel=1e-3)
    assert retained_entries({"task": wide}, 0.95, PARAMS)["task"] == {
        "verdict": "undecided",
        "rows_needed": rows_to_decide(wide, 1, 0.95, PARAMS),
    }
    assert retained_entries(kept(0.0, 0.01), 0.95, PARAMS) == {"task": {"verdict": "kept"}}
    assert rows_to_decide(kept(0.0, 0.0, 40)["task"], 1, 0.95, PARAMS) == 122
    assert rows_to_decide(kept(0.0, 0.0, 1, span=0.0)["task"], 1, 0.95, PARAMS) == 30
    assert rows_to_decide(wide, 8, 0.95, PARAMS) > rows_to_decide(wide, 1, 0.95, PARAMS)


@pytest.mark.parametrize("value", [0.0, -0.0149, -0.0299, -0.04, 0.01])
@pytest.mark.parametrize("tasks", [1, 8])
def test_an_undecided_task_needs_more_rows_than_it_has(value: float, tasks: int) -> None:
    undecided = 0
    for error in np.linspace(0.0, 0.1, 60):
        family = {str(number): Kept(difference(value, float(error), 150), 0.03) for number in range(tasks)}
        for entry in retained_entries(family, 0.95, PARAMS).values():
            if entry["verdict"] == "undecided":
                undecided += 1
                assert entry["rows_needed"] > 150
    assert undecided


def test_holm_by_hand() -> None:
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before it), 0.5 * 1.
    adjusted = holm({"a": 0.5, "b": 0.01, "c": 0.03, "d": 0.02})
    assert adjusted == {"a": 0.5, "b": 0.04, "c": 0.06, "d": 0.06}


def test_secondary_metrics_cost_the_primary_one_nothing() -> None:
    p = {("x", "rouge1_f"): 0.039} | {("x", f"other{number}"): 0.039 + number / 20 for number in range(10)}
    assert marked(p, "rouge1_f", 0.05) == {("x", "rouge1_f")}


def test_a_secondary_metric_has_a_fifth_of_the_level() -> None:
    assert marked({("x", "bleu"): 0.011}, "rouge1_f", 0.05) == set()
    assert marked({("x", "bleu"): 0.009}, "rouge1_f", 0.05) == {("x", "bleu")}


def test_nothing_is_marked_where_nothing_is_compared() -> None:
    assert marked({}, "rouge1_f", 0.05) == set()


def test_many_real_differences_are_marked_together() -> None:
    p = {(str(number), "rouge1_f"): 0.03 for number in range(10)}
    assert marked(p, "rouge1_f", 0.05) == set(p)
    assert marked(p | {("10", "rouge1_f"): 0.9}, "rouge1_f", 0.05) == set(p)


def test_equal_systems_are_seldom_marked() -> None:
    random = np.random.default_rng(0)
    reports = [{(f"x{row}", "m"): float(p) for row, p in enumerate(random.random(10))} for _ in range(2000)]
    assert np.mean([bool(marked(report, "m", 0.05)) for report in reports]) == pytest.approx(0.04, abs=0.015)
