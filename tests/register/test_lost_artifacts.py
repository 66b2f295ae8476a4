"""The gate after the artifacts of the champion's run were lost."""

from __future__ import annotations

import shutil

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.register.run import run
from tests.register.test_register import NEW, PARAMS, propose
from tests.tracking.ledger_workspace import add_evaluation_set, add_experiment


def test_a_registered_model_that_sync_rebuilds_can_be_served_again(paths: Paths) -> None:
    folder = paths.root / "mlartifacts" / run(PARAMS, paths)["champion"]["run_id"] / "artifacts/model"
    before = {path.relative_to(folder) for path in folder.rglob("*")}
    shutil.rmtree(folder)
    run(PARAMS, paths)
    assert {path.relative_to(folder) for path in folder.rglob("*")} == before


def test_a_champion_whose_model_is_lost_is_named_with_the_remedy(paths: Paths) -> None:
    run_id = run(PARAMS, paths)["champion"]["run_id"]
    add_evaluation_set(paths, NEW["rows"])
    add_experiment(paths, "base", [0.1, 0.1], method="none", **NEW)
    shutil.rmtree(paths.model("lora"))
    shutil.rmtree(paths.root / "mlartifacts" / run_id)
    with pytest.raises(TunesmithError, match=f"models:/tunesmith/1: the version's model must .* run {run_id}; it is"):
        propose(paths, "new", [0.5, 0.5], **NEW)
