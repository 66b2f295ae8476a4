"""The study of a sweep on a real MLflow store, with a loss that is computed from the values instead of trained."""

from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.trial import TrialState

from tasks.sweep.params import SweepParams
from tasks.sweep.space import Start, Values
from tasks.sweep.study import Study
from tasks.tracking.client import Tracker, open_store

START = Start({}, {"method": "lora", "training": {"learning_rate": 1e-3}, "lora": {"rank": 8}}, "none")
TARGETS = [None, ["q_proj"], ["q_proj", "v_proj"]]
SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "lora.rank": {"low": 2, "high": 8, "step": 2},
    "lora.targets": {"choices": TARGETS},
}


def sweep(**changes: Any) -> SweepParams:
    return SweepParams.model_validate(
        {"name": "s", "like": "lora", "space": SPACE, "trials": 8, "startup_trials": 2} | changes
    )


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """One store for all studies, since a store takes a second to open; each test has keys of its own."""
    return open_store(tmp_path_factory.mktemp("studies"))


def loss(values: Values, epoch: int) -> float:
    rate = abs(math.log10(values["training.learning_rate"]) + 3)
    return rate + values["lora.rank"] / 10 + len(values["lora.targets"] or []) / 7 + 1 / epoch


def open_study(tracker: Tracker, params: SweepParams, key: str) -> Study:
    study = Study(params, START, key, tracker)
    study.recover()
    return study


def search(study: Study, until: int, interrupt_after: int | None = None) -> list[tuple[Values, str, Any]]:
    """Run trials of three epochs until ``until`` have ended; leave one running after its first epoch if asked."""
    while len(study.ended()) < until:
        trial, values = study.ask()
        study.name(trial, f"s-{len(study.ended())}")
        pruned = False
        for epoch in (1, 2, 3):
            goes_on = study.report(trial, epoch, loss(values, epoch))
            if len(study.ended()) == interrupt_after:
                return outcomes(study)
            if not goes_on and epoch < 3:
                study.prune(trial, f"pruned after epoch {epoch}")
                pruned = True
                break
        if not pruned:
            study.complete(trial, loss(values, 3))
    return outcomes(study)


def outcomes(study: Study) -> list[tuple[Values, str, Any]]:
    return [(study.values(t.params), t.state.name, dict(t.intermediate_values)) for t in study.ended()]


def test_a_killed_study_resumes_and_equals_one_without_a_kill(tracker: Tracker) -> None:
    params = sweep()
    assert len(search(open_study(tracker, params, "killed"), 6, interrupt_after=3)) == 3
    resumed = search(open_study(tracker, params, "killed"), 6)
    whole = search(open_study(tracker, params, "whole"), 6)
    assert resumed == whole and len(whole) == 6
    assert len({str(values) for values, *_ in whole}) == 6, "no draw is repeated"
    assert {state for _, state, _ in whole} == {"COMPLETE", "PRUNED"}
    assert all(values["lora.rank"] in (2, 4, 6, 8) for values, *_ in whole)
    assert all(values["lora.targets"] in TARGETS for values, *_ in whole)


def test_more_trials_continue_the_study_and_another_key_begins_a_new_one(tracker: Tracker) -> None:
    first = search(open_study(tracker, sweep(trials=3), "more"), 3)
    study = open_study(tracker, sweep(trials=4), "more")
    assert search(study, 4)[:3] == first
    fresh = open_study(tracker, sweep(trials=4), "fresh")
    assert fresh.ended() == [] and fresh.run_id != study.run_id


def test_a_trial_that_was_not_sampled_wholly_is_failed_and_sampled_anew(tracker: Tracker) -> None:
    params = sweep()
    expected = search(open_study(tracker, params, "torn"), 3)
    study = open_study(tracker, params, "torn")
    trial = study.study.ask({"lora.rank": study._space["lora.rank"]})  # killed before the other keys
    study._storage.flush_all_batches()
    resumed = open_study(tracker, params, "torn")
    states = [t.state for t in resumed.study.get_trials()]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.FAIL] and trial.number == 3
    assert search(resumed, 4)[:3] == expected and len(resumed.ended()) == 4


def test_a_grid_is_covered_once_also_after_an_interrupt(tracker: Tracker) -> None:
    space = {"lora.rank": {"low": 2, "high": 4}, "training.schedule": {"choices": ["linear", "cosine"]}}
    params = sweep(space=space, sampler="grid", trials=None, pruner="none")
    study = open_study(tracker, params, "grid")
    seen = []
    for _ in range(2):
        trial, values = study.ask()
        seen.append(values)
        study.complete(trial, 1.0)
    interrupted = study.ask()[1]
    study = open_study(tracker, params, "grid")
    for number in range(4):
        trial, values = study.ask()
        assert number or values == interrupted
        seen.append(values)
        study.complete(trial, 1.0)
    assert sorted(map(str, seen)) == sorted(
        str({"lora.rank": rank, "training.schedule": schedule})
        for rank in (2, 3, 4)
        for schedule in ("linear", "cosine")
    )


def test_mlflow_shows_a_parent_and_its_trials_and_nothing_runs_after_the_end(tracker: Tracker) -> None:
    params = sweep(trials=4)
    study = open_study(tracker, params, "01234567")
    study.set_status("RUNNING")
    search(study, 4)
    study.set_status("FINISHED")
    runs = {run.info.run_id: run for run in tracker.client.search_runs([tracker.experiment_id])}
    trials = [run for run in runs.values() if run.data.tags.get("mlflow.parentRunId") == study.run_id]
    parent = runs[study.run_id]
    assert (parent.info.run_name, parent.info.status) == ("sweep s 01234567", "FINISHED")
    assert parent.data.tags["tunesmith.sweep"] == "s"
    assert sorted(run.info.run_name for run in trials) == ["s-0", "s-1", "s-2", "s-3"]
    assert {run.info.status for run in trials} <= {"FINISHED", "KILLED"}


def test_the_importance_of_keys_needs_ten_completed_trials_and_names_the_key_that_matters(tracker: Tracker) -> None:
    params = sweep(trials=10, pruner="none", sampler="random", space={k: SPACE[k] for k in list(SPACE)[:2]})
    study = open_study(tracker, params, "importance")
    for number in range(10):
        assert (study.importances() is None) == (number < 10)
        trial, values = study.ask()
        study.complete(trial, abs(math.log10(values["training.learning_rate"]) + 3))
    importances = study.importances()
    assert importances is not None and next(iter(importances)) == "training.learning_rate"
    assert sum(importances.values()) == pytest.approx(1)
