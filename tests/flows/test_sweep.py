"""``tunesmith sweep`` on a tiny model: a sweep that is killed resumes and ends, and a repeated one trains nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.commands.sweep import Summary, run_sweep
from flows.commands.sweep_trial import run_trial
from flows.subprocesses import allow
from flows.workspace import find_root
from tasks.core.files import remove
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.sweep.space import load_sweep
from tasks.sweep.trials_file import read_trials, trial_name
from tests.workspaces import copy_workspace, dvc, edit, environment, ran

pytestmark = pytest.mark.slow

SPACE = {
    "name": "ranks",
    "like": "lora",
    "space": {"lora.rank": {"choices": [2, 4, 8]}},  # rank 8 is that of the starting experiment
    "trials": 8,
    "sampler": "random",
    "pruner": "none",
}
TRAINED = " train rows, "
"""In a line of the log of every training."""


@pytest.fixture
def root(workspace_with_data: Path, tmp_path: Path) -> Path:
    root = copy_workspace(workspace_with_data, tmp_path / "workspace")
    edit(root, "training", lambda p: p["defaults"]["training"].update(epochs=3))
    write_yaml(root / "space.yaml", SPACE)
    return root


def command(root: Path) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "sweep", str(root / "space.yaml")]


def sweep(root: Path) -> str:
    """Run the command to its end; return all that it printed."""
    done = subprocess.run(
        command(root),
        cwd=root,
        env=environment(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def kill_in_the_second_training(root: Path) -> None:
    with (root / "killed.log").open("w") as log:
        process = subprocess.Popen(command(root), cwd=root, env=environment(root), stdout=log, stderr=log)
    deadline = time.monotonic() + 300
    while not (len(read_trials(Paths(root))) > 1 and list(root.glob("checkpoints/*/checkpoint-*"))):
        assert process.poll() is None and time.monotonic() < deadline, (root / "killed.log").read_text()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def statuses(root: Path) -> tuple[str, list[str]]:
    """Status of the parent run, and of its trials."""
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tunesmith")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "tunesmith.sweep" in run.data.tags]
    trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(runs) == len(trials) + 1, "trials have no other runs"
    return parent.info.status, [run.info.status for run in trials]


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Make ``root`` the workspace of this process."""
    for name in ("PATH", "TUNESMITH_ROOT", "TUNESMITH_CACHE"):
        monkeypatch.setenv(name, environment(root)[name])
    return Paths(find_root())


def repeated(root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> tuple[Summary, str]:
    """Run the sweep in this process, which has imported everything; return its outcome and its log."""
    paths, lines = enter(root, monkeypatch), list[str]()
    caplog.clear()
    with caplog.at_level("INFO", logger="tunesmith"):
        summary = run_sweep(paths, root / "space.yaml", write_anyway=True, show=lines.append)
    return summary, "\n".join([*lines, *caplog.messages])


def test_a_killed_sweep_ends_with_its_trials_and_a_repeated_one_trains_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kill_in_the_second_training(root)
    assert statuses(root)[0] == "RUNNING"
    printed = sweep(root)
    assert statuses(root) == ("FINISHED", ["FINISHED"] * 8)
    assert "trial 8/8: lora.rank=" in printed and "resuming from" in printed
    distinct = len({line.split(": ")[1] for line in printed.splitlines() if line.startswith("trial ")})
    assert printed.count(TRAINED) < distinct + 1, "equal values are trained once, and the start was trained before"
    assert "not written, since the check has too few rows to show that the winner is better than lora" in printed
    entries = read_trials(Paths(root))
    assert all((Paths(root).trial(name) / "trial.json").exists() for name in entries)
    assert not list(root.glob("checkpoints/*")) and not (root / "models").exists()
    assert ran(dvc(root, "repro", *(f"trial@{name}" for name in entries)).stdout) == []

    again, log = repeated(root, monkeypatch, caplog)
    assert TRAINED not in log and "8 of 8 trials ended in earlier runs" in log
    best = read_yaml(root / "params/experiments.yaml")["experiments"]["ranks_best"]
    assert best["method"] == "lora" and best["lora"]["rank"] in (2, 4, 8)

    for path in root.glob("mlflow.db*"):
        remove(path)
    elsewhere = sweep(root)  # in another process, since this one holds the removed store open
    assert TRAINED not in elsewhere and statuses(root) == ("FINISHED", ["FINISHED"] * 8)
    assert read_trials(Paths(root)) == entries, "the same draws"
    assert len(again.trials) == 8


def test_no_stage_no_file_and_no_entry_is_left_of_a_pruned_trial(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dvc(root, "repro", "base@tiny")
    paths = enter(root, monkeypatch)
    params, start = load_sweep(root / "space.yaml", paths)
    trial = start.trial(params, {"lora.rank": 2})
    before = {path: path.read_bytes() for path in (root / "dvc.lock", paths.params / "trials.yaml")}
    allow()
    outcome = run_trial(paths, trial, lambda epoch, loss: epoch < 2)
    assert (outcome.result, outcome.reason) == (None, "pruned after epoch 2")
    assert read_trials(paths) == {} and not paths.trial(trial_name(trial)).exists()
    assert (root / "dvc.lock").read_bytes() == before[root / "dvc.lock"]
    assert not list(root.glob("checkpoints/*")) and not list(root.rglob("*.partial"))
    assert not [line for line in dvc(root, "status").stdout.splitlines() if "trial" in line]
