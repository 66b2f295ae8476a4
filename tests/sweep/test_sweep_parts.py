"""The validation rows of a sweep: a part to search with and a part to check with."""

from __future__ import annotations

import pytest

from tasks.core.errors import TunesmithError
from tasks.metrics.params import IntervalParams, VerdictParams
from tasks.sweep.parts import check_groups, divided
from tasks.sweep.trial_params import ValidationParts
from tasks.sweep.verdict import check
from tasks.text.rows import Row, group_key

ROWS: list[Row] = [
    {"source": f"s{number % 2}", "row_id": f"r{number}", "template_id": "t", "group": f"g{number // 3}"}
    for number in range(60)
]
PARTS = ValidationParts(check_share=0.25, seed=0)


def test_groups_are_divided_whole_into_two_parts_of_the_given_shares() -> None:
    search, held_out = divided(ROWS, PARTS)
    assert sorted(search + held_out, key=ROWS.index) == ROWS
    groups = {group_key(row) for row in ROWS}
    apart = {group_key(row) for row in held_out}
    assert apart.isdisjoint(group_key(row) for row in search)
    assert len(apart) == round(0.25 * len(groups)) == 10


def test_the_order_of_rows_changes_nothing_and_the_seed_does() -> None:
    assert check_groups(reversed(ROWS), PARTS) == check_groups(ROWS, PARTS)
    assert check_groups(ROWS, ValidationParts(check_share=0.25, seed=1)) != check_groups(ROWS, PARTS)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_no_part_is_empty(share: float) -> None:
    search, held_out = divided(ROWS[:12], ValidationParts(check_share=share, seed=0))
    assert search and held_out
    with pytest.raises(TunesmithError, match=r"at least two groups.*the mixture has 1; raise the validation share"):
        divided(ROWS[:1], PARTS)


def checked(*losses: float) -> list[Row]:
    """Rows of ``check.parquet`` of 10 bytes each; the losses are per byte."""
    return [
        {"source": "s", "row_id": f"r{n}", "template_id": "t", "group": f"g{n}", "nll": 10 * loss, "bytes": 10}
        for n, loss in enumerate(losses)
    ]


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.1, "better"), (-0.1, "worse"), (0.0, "same"), (None, "not enough rows")]
)
def test_the_winner_is_judged_on_its_paired_loss_per_byte(gain: float | None, verdict: str) -> None:
    noise = [0.001 * (n % 5 - 2) for n in range(40)]
    start = checked(*(1 + n / 10 for n in range(40)))
    changes = [0.5 * (-1) ** n for n in range(40)] if gain is None else [-gain + e for e in noise]
    winner = checked(*(1 + n / 10 + change for n, change in enumerate(changes)))
    result = check(winner, start, IntervalParams(resamples=200), VerdictParams())
    assert result.verdict == verdict and result.difference.groups == 40
    assert result.difference.value == pytest.approx(-(gain or 0.0), abs=1e-9)
    assert (result.rows_needed is None) == (verdict != "not enough rows")
    assert result.line().startswith(
        f"{verdict}{f' (~{result.rows_needed} rows needed)' if gain is None else ''}: loss "
    )


def test_too_few_groups_decide_nothing_however_large_the_gain() -> None:
    assert check(checked(0.1, 0.1), checked(1.0, 1.0), IntervalParams(resamples=200), VerdictParams()).verdict == (
        "not enough rows"
    )
