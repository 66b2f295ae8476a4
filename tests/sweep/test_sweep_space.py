"""The file of a sweep: what is refused before anything runs, and which values a space has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.resolve.check import load_experiments
from tasks.sweep.params import SweepParams
from tasks.sweep.space import grid, load_sweep, nested, trial_count, unlabelled
from tasks.sweep.trial_params import TrialParams
from tasks.sweep.trials_file import add_trial, keep_trials, read_trials, remove_trial, trial_name
from tests.workspaces import ROOT, edit

SPACE = {
    "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "lora.rank": {"choices": [4, 8, 16]},
    "training.epochs": {"low": 1, "high": 5, "step": 2},
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return Paths(tmp_path)


def written(paths: Paths, **changes: Any) -> Path:
    file = paths.root / "space.yaml"
    write_yaml(file, {"name": "search", "like": "lora", "space": SPACE, "trials": 4} | changes)
    return file


def refused(paths: Paths, **changes: Any) -> list[str]:
    with pytest.raises(TunesmithError) as caught:
        load_sweep(written(paths, **changes), paths)
    return [line.removeprefix(f"{paths.root}/space.yaml: ") for line in str(caught.value).splitlines()]


def test_all_errors_of_the_file_are_reported_at_once(paths: Paths) -> None:
    space = {
        "a.b": {"low": 2, "high": 1},
        "c.d": {"low": 0, "high": 1, "log": True},
        "e.f": {"choices": [4, 4]},
        "g.h": {"low": 1},
        "i.j": {"low": 1, "high": 2, "step": 5},
        "k.l": {"low": 1, "high": 2, "choices": [1, 2]},
        "m.n": {"low": 1, "high": 2, "log": True, "step": 1},
    }
    lines = refused(paths, name="Upper", space=space, pruner="best", sample="tpe")
    for part in (
        "name: a name must be text of lower-case letters",
        "space.a.b: low must be less than high; low is 2, high is 1",
        "space.c.d: low must be above 0 with log; it is 0",
        "space.e.f: choices must be at least two different values; they are [4, 4]",
        "space.g.h: must have low and high, or choices; add them",
        "space.i.j: step must be above 0 and at most high - low, which is 1; it is 5",
        "space.k.l: must have either choices, or low and high",
        "space.m.n: log and step exclude each other",
        "pruner: ",
        "sample: unknown key; known here: ",
    ):
        assert [line for line in lines if line.startswith(part)], part
    assert len(lines) == 10


def test_keys_that_the_method_does_not_read_and_values_that_it_refuses_are_reported_at_once(paths: Paths) -> None:
    space = {
        "lora.rnk": {"choices": [4, 8]},
        "prompt_tuning.virtual_tokens": {"choices": [4, 8]},
        "training.log_every": {"choices": [4, 8]},
        "seed": {"choices": [0, 1]},
        "lora.rank": {"low": 0, "high": 8},
        "training.epochs": {"low": 1, "high": 2.5},
        "training.schedule": {"choices": ["cosine", "sine"]},
        "training.weight_decay": {"low": 0, "high": 1},
    }
    lines = refused(paths, space=space)
    assert "'lora' uses; those are: training.learning_rate, " in lines[0] and lines[0].endswith(
        "did you mean 'lora.rank'?"
    )
    assert lines[1].startswith("space.prompt_tuning.virtual_tokens: must be a key that method 'lora' uses")
    assert lines[2] == "space.training.log_every: this key changes no model, so all trials would be equal; remove it"
    assert lines[3].startswith("space.seed: must be a key")
    assert lines[4].startswith("space.lora.rank: input should be greater than") and lines[4].endswith("it is 0")
    assert lines[5].startswith("space.training.epochs: training.epochs takes whole numbers, so low, high and step")
    assert lines[6].startswith("space.training.schedule: input should be 'cosine'") and lines[6].endswith(
        "it is 'sine'"
    )
    assert len(lines) == 7


def test_the_starting_experiment_must_train_in_one_process(paths: Paths) -> None:
    assert "like: there is no experiment 'lor'" in refused(paths, like="lor")[0]
    assert "like: must be an experiment that trains; 'base' has method 'none'" in refused(paths, like="base")[0]
    edit(paths.root, "experiments", lambda p: p["experiments"]["lora"].update(launcher={"processes": 2}))
    assert "like: a trial trains in one process; 'lora' trains in 2" in refused(paths)[0]


def test_a_sweep_ends_after_its_trials_or_at_the_end_of_its_grid(paths: Paths) -> None:
    assert "trials: sampler 'tpe' needs the number of trials" in refused(paths, trials=None)[0]
    assert "space.training.learning_rate: sampler 'grid' needs a finite number" in refused(paths, sampler="grid")[0]
    space = {key: SPACE[key] for key in ("lora.rank", "training.epochs")}
    assert (
        "at least as many points as trials (10); it has 9" in refused(paths, sampler="grid", trials=10, space=space)[0]
    )
    params, start = load_sweep(written(paths, sampler="grid", trials=None, space=space), paths)
    points = grid(params, start)
    assert trial_count(params, start) == len(points) == 9
    assert {(p["lora.rank"], p["training.epochs"]) for p in points} == {(r, e) for r in (4, 8, 16) for e in (1, 3, 5)}
    other = params.model_copy(update={"seed": 1})
    assert grid(other, start) != points and sorted(map(str, grid(other, start))) == sorted(map(str, points))


def test_an_experiment_with_the_values_resolves_to_what_the_trial_trained(paths: Paths) -> None:
    """Also if the starting experiment takes keys from another one by ``like``."""
    own = {"like": "lora", "method": "lora", "mixture": "demo", "lora": {"rank": 32}, "max_length": None}
    edit(paths.root, "experiments", lambda p: p["experiments"]["lora"].update(training={"epochs": 2}, max_length=256))
    edit(paths.root, "experiments", lambda p: p["experiments"].update(wide=own))
    params, start = load_sweep(written(paths, like="wide"), paths)
    values = {"training.learning_rate": 3e-3, "lora.rank": 4}
    trial = start.trial(params, values)
    edit(paths.root, "experiments", lambda p: p["experiments"].update(search_best=start.with_values(values)))
    resolved = load_experiments(paths)
    assert resolved["search_best"].train == trial.train and resolved["search_best"].like is None
    assert trial.train["lora"]["rank"] == 4 and trial.train["training"]["epochs"] == 2
    assert trial.train["max_length"] == 1024 and (trial.method, trial.mixture, trial.base) == ("lora", "demo", "none")


def test_choices_that_are_lists_come_back_as_lists() -> None:
    params = SweepParams.model_validate(
        {"name": "s", "like": "lora", "trials": 1, "space": {"lora.targets": {"choices": [None, ["q_proj"]]}}}
    )
    assert unlabelled({"lora.targets": '["q_proj"]'}, params) == {"lora.targets": ["q_proj"]}
    assert unlabelled({"lora.targets": None}, params) == {"lora.targets": None}
    assert nested({"a.b": 1, "a.c": 2, "d.e": 3}) == {"a": {"b": 1, "c": 2}, "d": {"e": 3}}


def test_the_file_of_trials_has_one_entry_per_set_of_parameters(paths: Paths) -> None:
    params, start = load_sweep(written(paths), paths)
    trials = [start.trial(params, {"training.learning_rate": rate}) for rate in (1e-3, 0.1 + 0.2, 1e-5)]
    names = [add_trial(paths, trial) for trial in [*trials, trials[0]]]
    assert len(set(names)) == 3 and names[0] == names[3] == trial_name(trials[0])
    file = paths.params / "trials.yaml"
    assert file.read_text().startswith("# Trials of sweeps")
    assert [TrialParams.model_validate(entry) for entry in read_trials(paths).values()] == trials
    edit(paths.root, "trials", lambda p: p["trials"].update(other={"sweep": "other"}))
    remove_trial(paths, names[0])
    keep_trials(paths, "search", {names[1]})
    assert list(read_trials(paths)) == [names[1], "other"]
    keep_trials(paths, "search", ())
    keep_trials(paths, "other", ())
    assert read_yaml(file) == {"trials": {}}, "an empty file is a DAG without trials"


def test_the_example_of_the_guide_is_accepted_and_its_table_names_every_key(paths: Paths) -> None:
    page = (ROOT / "docs/sweeps.md").read_text()
    file = paths.root / "space.yaml"
    file.write_text(page.split("```yaml\n")[1].split("```")[0])
    params, _ = load_sweep(file, paths)
    assert len(params.space) == 3
    rows = page.split("| key |")[1].split("\n\n")[0].splitlines()[2:]
    assert sorted(row.split("`")[1] for row in rows) == sorted(SweepParams.model_fields)
