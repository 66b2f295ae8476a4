"""The winner of a sweep becomes an experiment if the check shows that it is better, and never replaces one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from flows.commands.sweep_winner import write_winner
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.metrics.differences import Difference
from tasks.sweep.params import SweepParams
from tasks.sweep.verdict import Check

WRITTEN = """\
experiments:
  lora: {method: lora, mixture: demo}   # mine

# Nothing below.
"""
PARAMS = SweepParams.model_validate(
    {"name": "ranks", "like": "lora", "trials": 1, "space": {"lora.rank": {"choices": [4, 8]}}}
)
ENTRY = {"method": "lora", "mixture": "demo", "lora": {"rank": 4}}


def judged(verdict: str) -> Check:
    return Check(Difference(0.0, -0.1, 0.1, 40, 40, 0.05, 1.0), cast("Any", verdict), None)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "params").mkdir()
    (tmp_path / "params/experiments.yaml").write_text(WRITTEN)
    return Paths(tmp_path)


def test_a_better_winner_is_written_once_below_the_users_experiments(paths: Paths) -> None:
    lines = write_winner(paths, PARAMS, ENTRY, judged("better"), write_anyway=False)
    assert lines == ["params/experiments.yaml: added ranks_best", "next: `tunesmith run --experiment ranks_best`"]
    text = (paths.params / "experiments.yaml").read_text()
    assert text == WRITTEN.replace("\n\n#", "\n  ranks_best: {method: lora, mixture: demo, lora: {rank: 4}}\n\n#")
    again = write_winner(paths, PARAMS, ENTRY, judged("better"), write_anyway=False)
    assert again[0] == "params/experiments.yaml: ranks_best is there already, with these values"
    assert (paths.params / "experiments.yaml").read_text() == text


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("worse", "the check shows that the winner is worse than lora"),
        ("same", "the check shows that the winner and lora are the same"),
        ("not enough rows", "the check has too few rows to show that the winner is better than lora"),
    ],
)
def test_another_winner_is_written_only_on_request(paths: Paths, verdict: str, reason: str) -> None:
    (line,) = write_winner(paths, PARAMS, ENTRY, judged(verdict), write_anyway=False)
    assert line.startswith(f"not written, since {reason}; ") and line.endswith("`--write-anyway`")
    assert (paths.params / "experiments.yaml").read_text() == WRITTEN
    write_winner(paths, PARAMS, ENTRY, judged(verdict), write_anyway=True)
    assert read_yaml(paths.params / "experiments.yaml")["experiments"]["ranks_best"] == ENTRY


def test_an_experiment_of_the_user_with_this_name_stays(paths: Paths) -> None:
    own = WRITTEN.replace("lora:", "ranks_best:")
    (paths.params / "experiments.yaml").write_text(own)
    with pytest.raises(TunesmithError, match="this experiment exists with other keys, and a sweep never changes one"):
        write_winner(paths, PARAMS, ENTRY, judged("better"), write_anyway=True)
    assert (paths.params / "experiments.yaml").read_text() == own
