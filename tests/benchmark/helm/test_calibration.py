"""Calibration against values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.benchmark.helm.calibration import coverage_accuracy_area, expected_calibration_error, selective_accuracy


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


@pytest.mark.parametrize("confidence", [[0.5, float("nan")], [0.5, 1.2], []])
def test_bad_confidences_are_refused(confidence: list[float]) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        expected_calibration_error(np.array(confidence), np.array([1.0, 0.0])[: len(confidence)])
