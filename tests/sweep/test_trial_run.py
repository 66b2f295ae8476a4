"""The stage ``trial@NAME``: which rows it sees, what it writes, and how a sweep ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import DivergedError, TunesmithError
from tasks.core.files import read_json, read_rows
from tasks.core.params import merge, write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.sweep.channel import ADDRESS, PrunedError, Sweep, connected, listening
from tasks.sweep.outputs import read_result
from tasks.sweep.parts import divided
from tasks.sweep.trial import run
from tasks.sweep.trial_params import ValidationParts
from tests.train.training_workspace import LORA, PAIRS, PARAMS, rows, workspace

PARTS = {"check_share": 0.34, "seed": 0}
THREE_EPOCHS = {**LORA, "training": {"epochs": 3}}


def trial(paths: Paths, patch: dict[str, Any]) -> Callable[[], None]:
    """A trial; the function runs its stage in this process."""
    train = merge(PARAMS, patch)
    entry = {"sweep": "s", "method": "lora", "mixture": "demo", "base": "none", "validation": PARTS, "train": train}
    paths.params.mkdir(exist_ok=True)
    write_yaml(paths.params / "trials.yaml", {"trials": {"s-1": entry}})
    return lambda: run("s-1", paths, Stage.start("trial@s-1", paths.root))


@pytest.fixture
def paths(tmp_path: Path, tiny_llama: Path) -> Paths:
    return workspace(tmp_path / "workspace", tiny_llama, validation=rows(PAIRS))


def test_training_sees_the_search_part_and_the_other_rows_are_checked_under_the_kept_weights(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[int, float]] = []

    def goes_on(epoch: int, loss: float) -> bool:
        reported.append((epoch, loss))
        return True

    with listening(goes_on) as (address, ended):
        monkeypatch.setenv(ADDRESS, address)
        trial(paths, THREE_EPOCHS)()
    assert ended.pruned is None and ended.error is None
    result = read_result(paths, "s-1")
    search, held_out = divided(rows(PAIRS), ValidationParts.model_validate(PARTS))
    assert (len(search), len(held_out)) == (4, 2) == (result.search_rows, len(result.checked))
    assert [row["row_id"] for row in result.checked] == [row["row_id"] for row in held_out]
    assert [row["bytes"] for row in result.checked] == [len(row["completion"].encode()) for row in held_out]
    losses = [evaluation["validation_loss"] for evaluation in result.evaluations]
    assert [evaluation["epoch"] for evaluation in result.evaluations] == [1, 2, 3] and result.loss == min(losses)
    assert reported == list(zip((1, 2), losses, strict=False)), "the last epoch is not asked about"
    assert not list(paths.checkpoints.iterdir()) and not (paths.root / "models").exists()
    first = (paths.trial("s-1") / "check.parquet").read_bytes(), read_json(paths.trial("s-1") / "trial.json")
    monkeypatch.delenv(ADDRESS)
    trial(paths, THREE_EPOCHS)()  # as `dvc repro trial@s-1` does: nobody is asked
    again = (paths.trial("s-1") / "check.parquet").read_bytes(), read_json(paths.trial("s-1") / "trial.json")
    assert again == first, "a trial is reproduced to the last digit"
    assert {row["nll"] for row in read_rows(paths.trial("s-1") / "check.parquet")} != {0.0}


def test_nothing_is_left_of_a_trial_that_is_pruned_or_diverges(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(lambda epoch, loss: epoch < 2) as (address, ended):
        monkeypatch.setenv(ADDRESS, address)
        with pytest.raises(PrunedError, match="pruned by the sweep after epoch 2"):
            trial(paths, THREE_EPOCHS)()
    assert ended.pruned == "pruned after epoch 2"
    assert not list(paths.checkpoints.iterdir()) and not paths.trial("s-1").exists()
    with listening(lambda epoch, loss: True) as (address, ended):
        monkeypatch.setenv(ADDRESS, address)
        with pytest.raises(DivergedError, match="the validation loss must be finite"):
            loop = {"epochs": 2, "learning_rate": 1e30, "max_grad_norm": 1e9, "schedule": "constant"}
            trial(paths, {"training": loop})()
    assert ended.pruned == "diverged"
    assert not list(paths.checkpoints.iterdir()) and not paths.trial("s-1").exists()


def test_an_error_of_the_decision_ends_the_trial_and_reaches_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(epoch: int, loss: float) -> bool:
        raise TunesmithError("MLflow does not answer")

    with listening(fails) as (address, ended):
        monkeypatch.setenv(ADDRESS, address)
        with connected() as sweep, pytest.raises(PrunedError):
            sweep.report(1, 0.5)
    assert str(ended.error) == "MLflow does not answer" and ended.pruned is None


def test_a_trial_whose_sweep_is_gone_ends_and_a_later_trial_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(lambda epoch, loss: loss < 1) as (address, _):
        monkeypatch.setenv(ADDRESS, address)
        for _ in range(2):
            with connected() as sweep:
                sweep.report(1, 0.5)
                with pytest.raises(PrunedError):
                    sweep.report(2, 2.0)
        with connected() as sweep:
            connection = sweep._connection
            assert connection is not None
            connection.close()
            with pytest.raises(TunesmithError, match="the sweep that started this trial has ended"):
                sweep.report(1, 0.5)
    assert not [thread for thread in threading.enumerate() if "_answer_trials" in thread.name]
    Sweep(None).report(1, 0.5)  # without a sweep every trial goes on
