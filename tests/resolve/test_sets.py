"""``sets`` of ``params/experiments.yaml``: what ``resolve`` checks and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.paths import Paths
from tasks.register.opponents import untuned
from tasks.resolve.__main__ import rewritten
from tasks.resolve.sets import load_sets
from tasks.tracking.experiment_files import names
from tests.resolve.parameter_files import edit, problems, resolved
from tests.workspaces import copy_workspace, dvc

SWEEP = {"axis": "training.epochs", "question": "How many epochs are enough?", "experiments": {"lora": 2, "full": 1}}
KEYS = "; known here: axis, experiments, question"
WAYS = {"axis": None, "question": "Is tuning better?", "experiments": {"full": None, "base": None}}


def write(paths: Paths, sets: Any) -> None:
    edit(paths, "experiments", lambda p: p.update(sets=sets))


def test_the_sets_are_written_as_they_are_and_in_their_order(paths: Paths) -> None:
    assert json.loads(resolved(paths)["sets.json"]) == {}
    sets = {"ways": WAYS, "epochs": SWEEP}
    write(paths, sets)
    written = json.loads(resolved(paths)["sets.json"])
    assert written == sets
    assert list(written) == ["ways", "epochs"] and list(written["epochs"]["experiments"]) == ["lora", "full"]


def test_a_set_changes_no_file_of_an_experiment(paths: Paths) -> None:
    before = resolved(paths)
    write(paths, {"epochs": SWEEP})
    assert rewritten(paths) == ["build/experiments/sets.json"]
    after = resolved(paths)
    assert {name for name in after if after[name] != before[name]} == {"sets.json"}
    assert rewritten(paths) == []


def test_the_file_of_the_sets_is_no_experiment(paths: Paths) -> None:
    write(paths, {"epochs": SWEEP})
    resolved(paths)
    assert untuned(paths) == ["base"]
    assert names(paths) == []


def test_a_deleted_experiment_is_named_with_its_set(paths: Paths) -> None:
    write(paths, {"epochs": SWEEP, "ways": WAYS})
    before = resolved(paths)
    edit(paths, "experiments", lambda p: p["experiments"].pop("full"))
    for check in (problems, lambda paths: problems(paths, resolved)):
        assert check(paths) == [
            f"experiments.yaml: sets.{name}.experiments: every experiment of a set must be under `experiments`; full "
            f"is not; remove it from the set, or remove the entry sets.{name}, or put the experiment back"
            for name in ("epochs", "ways")
        ]
    assert (paths.resolved / "sets.json").read_text() == before["sets.json"]
    assert (paths.resolved / "full/train.yaml").exists()


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("lora", "sets: must be a mapping of names; it is a str"),
        ({"epochs": ["lora"]}, "sets.epochs: must be a mapping of keys to values; it is ['lora']" + KEYS),
        ({"epochs": SWEEP | {"axes": 1}}, "sets.epochs.axes: unknown key" + KEYS),
        ({"epochs": {"question": "How?"}}, "sets.epochs.experiments: this key is required; add it"),
        ({"epochs": SWEEP | {"axis": 3}}, "sets.epochs.axis: input should be a valid string; it is 3"),
        (
            {"epochs": SWEEP | {"experiments": {"lora": None}}},
            "sets.epochs: experiments.lora: must be the experiment's value on the axis training.epochs, a number or a "
            "text; it is None; write the value, or `axis: null` and null for every experiment",
        ),
        (
            {"epochs": SWEEP | {"experiments": {"lora": True}}},
            "sets.epochs: experiments.lora: must be the experiment's value on the axis training.epochs, a number or a "
            "text; it is True; write the value, or `axis: null` and null for every experiment",
        ),
        (
            {"ways": WAYS | {"experiments": {"lora": 1}}},
            "sets.ways: experiments.lora: must be null, since the set has no axis; it is 1; name the axis "
            "(`axis: lora.rank`), or write null",
        ),
        (
            {"ways": WAYS | {"experiments": {"lroa": None}}},
            "sets.ways.experiments: every experiment of a set must be under `experiments`; lroa is not; remove it "
            "from the set, or remove the entry sets.ways, or put the experiment back",
        ),
    ],
)
def test_a_wrong_set_is_refused(paths: Paths, sets: Any, message: str) -> None:
    write(paths, sets)
    assert problems(paths, load_sets) == [f"experiments.yaml: {message}"]


def test_a_change_of_the_sets_alone_trains_nothing(built_workspace: Path, tmp_path: Path) -> None:
    root = copy_workspace(built_workspace, tmp_path / "workspace")
    write(Paths(root), {"ways": WAYS | {"experiments": {"base": None, "lora": None}}})
    assert list(json.loads(dvc(root, "status", "--json").stdout)) == ["resolve"]
    dvc(root, "repro", "--single-item", "resolve")
    assert list(json.loads(dvc(root, "status", "--json").stdout)) == ["compare"]
    assert list(json.loads((root / "build/experiments/sets.json").read_text())) == ["ways"]
