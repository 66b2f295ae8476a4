"""How many rows each component gives, worked out by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tasks.mix.params import MixtureParams, Share
from tasks.mix.quotas import apportion, quotas, weights

SIZES = {("a", "t"): 100, ("b", "t"): 400, ("c", "t"): 10_000}


def params(**changes: Any) -> MixtureParams:
    return MixtureParams(sources={name: Share() for name in "abc"}, **changes)


def rows(sizes: dict[tuple[str, str], int], given: MixtureParams) -> list[int]:
    return [quota.rows for quota in quotas(sizes, given).values()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, [100, 400, 10_000]),
        ({"weighting": "proportional", "cap": 1600}, [100, 400, 1600]),
        ({"weighting": "temperature", "temperature": 1.0}, [100, 400, 10_000]),
        ({"weighting": "temperature", "temperature": 2.0}, [10, 20, 100]),
        ({"weighting": "temperature", "temperature": 2.0, "cap": 1600}, [10, 20, 40]),
        ({"weighting": "equal"}, [1, 1, 1]),
    ],
)
def test_weights(given: dict[str, Any], expected: list[float]) -> None:
    assert list(weights(SIZES, params(**given)).values()) == pytest.approx(expected)


def test_explicit_weights_of_a_source_are_spread_over_its_tasks_by_size() -> None:
    given = MixtureParams(sources={"a": Share(weight=3.0), "b": Share(weight=1.0)}, weighting="explicit")
    sizes = {("a", "t1"): 100, ("a", "t2"): 200, ("b", "t"): 500}
    assert weights(sizes, given) == pytest.approx({("a", "t1"): 1.0, ("a", "t2"): 2.0, ("b", "t"): 1.0})
    assert rows(sizes, given.model_copy(update={"rows": 80})) == [20, 40, 20]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Everything, and of some rows as many as the size says: 105 of 10,500 is one in a hundred.
        ({}, [100, 400, 10_000]),
        ({"rows": 105}, [1, 4, 100]),
        # 100 + 400 + 1,600 is 2,100, a tenth of it 210.
        ({"weighting": "proportional", "cap": 1600}, [100, 400, 1600]),
        ({"weighting": "proportional", "cap": 1600, "rows": 210}, [10, 40, 160]),
        # 10 : 20 : 100; a has ten times its weight, and would be the first to repeat a row.
        ({"weighting": "temperature", "temperature": 2.0}, [100, 200, 1000]),
        ({"weighting": "temperature", "temperature": 2.0, "rows": 130}, [10, 20, 100]),
        # The smallest is empty after 100.
        ({"weighting": "equal"}, [100, 100, 100]),
        ({"weighting": "equal", "rows": 300}, [100, 100, 100]),
        # a has 100 and lacks 100, which b and c share equally; then b is empty as well.
        ({"weighting": "equal", "rows": 600}, [100, 250, 250]),
        ({"weighting": "equal", "rows": 1500}, [100, 400, 1000]),
        # Beyond the caps the rest is shared by the weights, until no row is left.
        ({"weighting": "proportional", "cap": 400, "rows": 1300}, [100, 400, 800]),
        ({"weighting": "equal", "rows": 20_000}, [100, 400, 10_000]),
    ],
)
def test_rows(given: dict[str, Any], expected: list[int]) -> None:
    assert rows(SIZES, params(**given)) == expected


def test_requested_and_available_rows_are_reported_apart() -> None:
    drawn = quotas({**SIZES, ("d", "t"): 0}, params(weighting="equal", rows=600))
    assert [(quota.requested, quota.available, quota.rows, quota.short) for quota in drawn.values()] == [
        (200, 100, 100, True),
        (200, 400, 250, False),
        (200, 10_000, 250, False),
        (0, 0, 0, True),
    ]


def test_one_row_more_takes_none_from_anyone() -> None:
    """Rounding shares would: of 10 rows the weights 6, 6, 2 give 4, 4, 2, and of 11 rows 5, 5, 1."""
    claims = {("a", "t"): 6.0, ("b", "t"): 6.0, ("c", "t"): 2.0}
    most = dict.fromkeys(claims, 9)
    given = [apportion(n, claims, most) for n in range(30)]
    assert [sum(counts.values()) for counts in given] == [*range(28), 27, 27]
    assert all(before[c] <= after[c] for before, after in pairwise(given) for c in claims)
    assert list(given[14].values()) == [6, 6, 2]


def test_shares_of_many_rows_are_the_weights_to_within_a_row() -> None:
    claims = {("s", str(i)): float(i) for i in range(1, 9)}
    given = apportion(100_000, claims, dict.fromkeys(claims, 100_000))
    assert all(abs(count - 100_000 * claims[c] / 36) <= 1 for c, count in given.items())
