"""``params/trials.yaml``: the entries of trials. ``tunesmith sweep`` alone writes it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tasks.core.files import digest, replacing
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.sweep.trial_params import TrialParams

HEADER = "# Trials of sweeps (docs/sweeps.md), written by `tunesmith sweep`. `dvc repro trial@NAME` trains one again.\n"


def trials_path(paths: Paths) -> Path:
    return paths.params / "trials.yaml"


def trial_name(trial: TrialParams) -> str:
    """The name of a trial: equal parameters have equal names, so that none is trained twice."""
    return f"{trial.sweep}-{digest(trial.model_dump())[:10]}"


def read_trials(paths: Paths) -> dict[str, Any]:
    """The entries by name.

    Raises:
        TunesmithError: the file is missing or no mapping of names.
    """
    return mapping(trials_path(paths), "trials")


def add_trial(paths: Paths, trial: TrialParams) -> str:
    """Write the entry of ``trial`` if the file lacks it; return its name."""
    name, trials = trial_name(trial), read_trials(paths)
    if name not in trials:
        _write(paths, trials | {name: trial.model_dump()})
    return name


def remove_trial(paths: Paths, name: str) -> None:
    """Remove the entry ``name`` if the file has it."""
    trials = read_trials(paths)
    if trials.pop(name, None) is not None:
        _write(paths, trials)


def keep_trials(paths: Paths, sweep: str, names: Collection[str]) -> None:
    """Remove the entries of ``sweep`` that are not in ``names``: those of an earlier version of its file."""
    trials = read_trials(paths)
    kept = {name: entry for name, entry in trials.items() if entry.get("sweep") != sweep or name in names}
    if kept != trials:
        _write(paths, kept)


def _write(paths: Paths, trials: dict[str, Any]) -> None:
    others = {key: value for key, value in read_yaml(trials_path(paths)).items() if key != "trials"}
    with replacing(trials_path(paths)) as partial:
        write_yaml(partial, {**others, "trials": trials})
        partial.write_text(HEADER + partial.read_text())
