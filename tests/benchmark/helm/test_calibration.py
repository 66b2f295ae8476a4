"""Calibration against values worked by hand."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from tasks.benchmark.helm.calibration import (
    calibration_floor,
    coverage_accuracy_area,
    expected_calibration_error,
    selective_accuracy,
)
from tasks.benchmark.helm.table import Line, Overview, cell_text, html, markdown, rich_table


def test_expected_calibration_error_by_hand() -> None:
    # Two bins of two rows: {0.6, 0.7} right once, {0.8, 0.9} right twice.
    # |1 - 1.3| / 4 + |2 - 1.7| / 4 = 0.15
    confidence, correct = np.array([0.9, 0.6, 0.8, 0.7]), np.array([1.0, 0.0, 1.0, 1.0])
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.15)
    # A bin a row: (0.1 + 0.6 + 0.2 + 0.3) / 4.
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(0.3)


def test_equal_confidences_stay_in_one_bin() -> None:
    # Always 0.5 and right every second time: calibrated, however many bins are asked for.
    assert expected_calibration_error(np.full(8, 0.5), np.array([1.0, 0.0] * 4)) == 0
    # Always sure and right once in four: 0.75 off.
    assert expected_calibration_error(np.ones(4), np.array([0.0, 1.0, 0.0, 0.0])) == 0.75


def test_selective_accuracy_by_hand() -> None:
    # Most confident first: right, wrong, right, right; accuracies 1, 1/2, 2/3, 3/4.
    confidence, correct = np.array([0.7, 0.9, 0.6, 0.8]), np.array([1.0, 1.0, 1.0, 0.0])
    assert coverage_accuracy_area(confidence, correct) == pytest.approx((1 + 1 / 2 + 2 / 3 + 3 / 4) / 4)
    assert selective_accuracy(confidence, correct) == 1
    assert selective_accuracy(confidence, correct, 0.5) == pytest.approx(2 / 3)  # floor(0.5 * 4) + 1 = 3 rows


def test_the_floor_is_the_error_of_a_calibrated_model_by_hand() -> None:
    # Two rows of 0.5 in one bin: both or none right (half of the draws) is 0.5 off, one right is 0 off.
    mean, most = calibration_floor(np.full(2, 0.5), seed=0)
    assert mean == pytest.approx(0.25, abs=0.02) and most == 0.5
    # Four rows: errors 0, 1/4, 1/2 with the probabilities 6/16, 8/16, 2/16; mean 3/16.
    assert calibration_floor(np.full(4, 0.5), seed=0)[0] == pytest.approx(3 / 16, abs=0.01)
    assert calibration_floor(np.ones(4), seed=0) == (0.0, 0.0), "a calibrated model that is always sure is always right"
    assert calibration_floor(np.full(4, 0.7), seed=1) == calibration_floor(np.full(4, 0.7), seed=1)


def test_the_floor_is_that_of_many_calibrated_models() -> None:
    """Models that are right as often as they are sure, on 60 rows: their mean error, and 5 % above the point."""
    generator = np.random.default_rng(5)
    confidence = generator.uniform(0.3, 0.9, 60)
    errors = [expected_calibration_error(confidence, generator.random(60) < confidence) for _ in range(2000)]
    mean, most = calibration_floor(confidence, seed=0)
    assert mean == pytest.approx(np.mean(errors), abs=0.003) and 0.1 < mean < 0.16
    assert np.mean(np.array(errors) > most) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("confidence", [[0.5, float("nan")], [0.5, 1.2], []])
def test_bad_confidences_are_refused(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        expected_calibration_error(np.array(confidence), np.array([1.0, 0.0])[: len(confidence)])


@pytest.mark.parametrize(
    ("floor", "behind"),
    [
        ({"floor": 0.129, "floor_95": 0.19}, " floor 0.13 (0.19)"),  # wide, but a calibrated model has it too: no mark
        ({"floor": 0.1, "floor_95": 0.18}, "†* floor 0.10 (0.18)"),
        ({}, "* floor –"),  # of an earlier version
    ],
)
def test_the_table_shows_the_floor_and_marks_only_what_lies_above(floor: dict[str, float], behind: str) -> None:
    text = cell_text({"value": 0.19, "low": 0.0, "high": 0.4, "n": 60} | floor, "calibration", {}, 0.3)
    assert text == f"0.19 [0.00, 0.40]{behind}"
    shown = Overview([Line("sst2", "SST-2", "base", [text])], [], "", [], [], [])
    assert text in markdown(shown) and text in html(shown, "table.png")
    printed = Console(width=200, file=StringIO(), record=True)
    printed.print(rich_table(shown))
    marks, below = behind.split(" ", 1)
    assert [f"0.19{marks} ", "0.00…0.40", below] == [
        part
        for line in printed.export_text().splitlines()
        for part in (f"0.19{marks} ", "0.00…0.40", below)
        if part in line
    ]
