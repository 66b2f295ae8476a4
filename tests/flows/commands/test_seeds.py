"""``tunesmith experiments seeds`` writes ordinary entries and keeps what a person wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.commands.seeds import add_seeds
from flows.preflight import preflight
from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tests.workspaces import ROOT

WRITTEN = """\
# What is compared.
experiments:
  base: {method: none,   # untuned
         # what it is compared on
         mixture: demo}
  # the usual adapter
  lora:
    method: 'lora'
    mixture: demo
    seed: 4   # lucky
"""
BEHIND = """

# Nothing below.
"""
ADDED = """\
  lora-s5: {like: lora, method: lora, mixture: demo, seed: 5}
  lora-s6: {like: lora, method: lora, mixture: demo, seed: 6}
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    shutil.copytree(ROOT / "params", tmp_path / "params")
    (tmp_path / "params/experiments.yaml").write_text(WRITTEN + BEHIND)
    return Paths(tmp_path)


def test_entries_are_added_and_the_rest_of_the_file_stays(paths: Paths) -> None:
    repeats = add_seeds(paths, "lora", 2)
    text = (paths.params / "experiments.yaml").read_text()
    assert text == WRITTEN + ADDED + BEHIND
    preflight(paths)
    assert repeats.lines() == [
        "params/experiments.yaml: added lora-s5, lora-s6",
        "cost: 2 more trainings, and as many evaluations",
        "next: `tunesmith run --experiment lora-s5 --experiment lora-s6`, then `tunesmith compare`",
    ]


def test_the_cost_is_that_of_the_last_training(paths: Paths) -> None:
    run = paths.run("lora", "train")
    run.mkdir(parents=True)
    write_json(run / "run.json", {"train_seconds": 754.2})
    assert add_seeds(paths, "lora", 1).lines()[1] == "cost: 1 more training of about 13 min, and as many evaluations"


@pytest.mark.parametrize(
    ("name", "first", "message"),
    [
        ("lroa", None, "no experiment 'lroa'"),
        ("base", None, "experiments.base: method 'none' trains nothing, so a seed changes nothing; name a tuned"),
        (
            "lora-s5",
            None,
            "experiments.lora-s5.like: lora-s5 is itself like 'lora'; repeat that experiment, or write all keys",
        ),
        ("lora", None, "experiments.lora-s5: this experiment exists; choose seeds that are new with `--first`"),
        ("lora", 3, "experiments.lora.seed: lora already has seed 4; choose `--first` 5 or more"),
    ],
)
def test_an_error_writes_nothing(paths: Paths, name: str, first: int | None, message: str) -> None:
    add_seeds(paths, "lora", 1)
    before = (paths.params / "experiments.yaml").read_bytes()
    with pytest.raises(TunesmithError, match=message):
        add_seeds(paths, name, 2, first)
    assert (paths.params / "experiments.yaml").read_bytes() == before


def test_more_seeds_follow_from_the_first_free_one(paths: Paths) -> None:
    add_seeds(paths, "lora", 1)
    assert add_seeds(paths, "lora", 2, first=6).names == ["lora-s6", "lora-s7"]
