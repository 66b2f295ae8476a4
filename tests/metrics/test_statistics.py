"""Averages over prompt variants, and the verdict on an interval."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.metrics.statistics import ROUNDING, row_averages, variants_by_row, verdict

KEYS = [("chats", "2", "short"), ("chats", "1", "short"), ("mails", "2", "short"), ("chats", "2", "long")]


def test_prompt_variants_of_one_row_are_averaged_in_the_order_in_which_rows_come() -> None:
    averages = row_averages(zip(KEYS, [1.0, 0.5, 0.25, 0.5], strict=True))
    assert averages.dtype == np.float64
    assert averages.tolist() == [0.75, 0.5, 0.25]


def test_no_row_gives_no_average() -> None:
    averages = row_averages([])
    assert averages.dtype == np.float64 and averages.shape == (0,)


def test_one_row_id_in_two_sources_is_two_rows() -> None:
    assert variants_by_row(zip(KEYS, "abcd", strict=True)) == [["a", "d"], ["b"], ["c"]]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 0.2, "gained"), (-0.2, -0.1, "lost"), (-0.1, 0.1, "kept"), (ROUNDING, 0.2, "kept"), (-0.2, 0.0, "kept")],
)
def test_a_verdict_needs_the_whole_interval_on_one_side_of_zero(low: float, high: float, expected: str) -> None:
    assert verdict(low, high) == expected
