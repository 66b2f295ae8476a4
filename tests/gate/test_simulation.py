"""The simulation of ``bench/gate.py`` decides as the gate does."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

from bench.gate import Cell
from tasks.gate.gate import Decision, Opponent, decide
from tasks.gate.params import RegistrationParams
from tasks.gate.scores import Scores

COUNT = 6
"""Data sets per cell."""


def gate_decides(differences: np.ndarray, clean: np.ndarray) -> Decision:
    """The gate on one data set (shape: groups, rows of a group)."""
    keys = [("s", f"g{group}r{row}", "plain") for group, row in np.ndindex(*differences.shape)]
    groups = {key: ("s", key[1].split("r")[0]) for key in keys}
    dirty = frozenset(key for key, is_clean in zip(keys, clean.ravel(), strict=True) if not is_clean)
    candidate = Scores(dict(zip(keys, differences.ravel().tolist(), strict=True)), groups, dirty)
    base = Scores(dict.fromkeys(keys, 0.0), groups)
    return decide(candidate, {"baseline": Opponent("base (baseline)", base)}, RegistrationParams(metric="rouge1_f"))


@pytest.mark.parametrize(("rows", "grouped"), [(29, False), (40, False), (300, True), (320, True)])
@pytest.mark.parametrize("leaked", [False, True])
def test_promotions_of_the_simulation_are_those_of_the_gate(rows: int, grouped: bool, leaked: bool) -> None:
    options = Namespace(deviation=10.0, gain=2.5, simulations=COUNT, seed=1)
    cell = Cell(rows, grouped, leaked, options)
    differences, clean = cell.deviation * cell.noise(COUNT) + cell.gain, cell.clean(COUNT)
    promoted = cell.promotes(cell.summed(differences, clean), cell.intervals.confidence)
    by_gate = [gate_decides(differences[:, :, data], clean[:, :, data]) for data in range(COUNT)]
    assert promoted.tolist() == [decision.verdict == "accepted" for decision in by_gate]
    assert ("undecided" in {decision.verdict for decision in by_gate}) == (rows == 29)


def test_both_verdicts_occur_and_the_ends_of_the_intervals_are_equal() -> None:
    cell = Cell(40, False, False, Namespace(deviation=10.0, gain=2.5, simulations=COUNT, seed=1))
    differences, clean = cell.deviation * cell.noise(COUNT) + cell.gain, cell.clean(COUNT)
    low, high = cell.bounds(cell.summed(differences, clean), cell.intervals.confidence)
    by_gate = [gate_decides(differences[:, :, data], clean[:, :, data]) for data in range(COUNT)]
    assert {decision.verdict for decision in by_gate} == {"accepted", "refused"}
    ends = [(one.compared["baseline"].difference.low, one.compared["baseline"].difference.high) for one in by_gate]
    assert np.allclose(np.array(ends).T, [low, high])
