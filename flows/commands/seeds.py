"""``tunesmith experiments seeds``: repeat an experiment with other seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flows.commands.experiments import check_experiments
from flows.commands.params_file import with_entries
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, replacing
from tasks.core.paths import Paths
from tasks.resolve.check import load_experiments, mapping
from tasks.tuning.untrained import is_trained


@dataclass(frozen=True)
class Repeats:
    """The experiments that ``add_seeds`` wrote.

    Attributes:
        names: names of the new experiments.
        train_seconds: how long the training of the original took; None if it is not trained yet.
    """

    names: list[str]
    train_seconds: float | None

    def lines(self) -> list[str]:
        """What was written, what it costs, and what to run next."""
        trainings = f"{counted(len(self.names), 'more training')}"
        cost = f" of about {_duration(self.train_seconds)}" if self.train_seconds is not None else ""
        options = " ".join(f"--experiment {name}" for name in self.names)
        return [
            f"params/experiments.yaml: added {', '.join(self.names)}",
            f"cost: {trainings}{cost}, and as many evaluations",
            f"next: `tunesmith run {options}`, then `tunesmith compare`",
        ]


def add_seeds(paths: Paths, name: str, count: int, first: int | None = None) -> Repeats:
    """Write ``count`` entries like experiment ``name`` into ``params/experiments.yaml``, each with a seed of its own.

    The rest of the file stays as it is. The entry of seed S is called ``NAME-sS``.

    Args:
        first: the smallest new seed; by default the one after the seed of ``name``.

    Raises:
        TunesmithError: an entry of ``experiments.yaml`` is invalid; ``name`` is unknown, trains nothing or has
            ``like``; a new seed equals that of ``name``; a new name exists; or the file is not plain YAML. Then
            nothing is written.
    """
    check_experiments(paths, "experiments seeds", [name])
    file = paths.params / "experiments.yaml"
    original, key = load_experiments(paths)[name], f"{file}: experiments.{name}"
    if not is_trained(original.train["method"]):
        raise TunesmithError(f"{key}: method 'none' trains nothing, so a seed changes nothing; name a tuned experiment")
    if original.like is not None:
        raise TunesmithError(
            f"{key}.like: {name} is itself like {original.like!r}; repeat that experiment, or write all keys of {name} "
            "without `like`"
        )
    own = original.train["seed"]
    new = repeats_of(name, original.train, count, first)
    if own in (entry["seed"] for entry in new.values()):
        raise TunesmithError(f"{key}.seed: {name} already has seed {own}; choose `--first` {own + 1} or more")
    existing = mapping(file, "experiments")
    if taken := [one for one in new if one in existing]:
        raise TunesmithError(
            f"{file}: experiments.{taken[0]}: this experiment exists; choose seeds that are new with `--first`, "
            "or remove the entry"
        )
    _write(paths, new)
    return Repeats(list(new), _train_seconds(paths, name))


def repeats_of(name: str, train: Mapping[str, Any], count: int, first: int | None = None) -> dict[str, dict[str, Any]]:
    """The entries of ``count`` repeats of experiment ``name``; ``dvc.yaml`` reads their method and mixture.

    Args:
        train: the resolved parameters of ``name``.
        first: the smallest new seed; by default the one after the seed of ``name``.
    """
    start = train["seed"] + 1 if first is None else first
    shared = {"like": name, "method": train["method"], "mixture": train["mixture"]}
    return {f"{name}-s{seed}": shared | {"seed": seed} for seed in range(start, start + count)}


def _write(paths: Paths, entries: dict[str, dict[str, Any]]) -> None:
    file = paths.params / "experiments.yaml"
    text = with_entries(file.read_bytes().decode(), file, "experiments", entries)
    with replacing(file) as partial:
        partial.write_bytes(text.encode())


def _train_seconds(paths: Paths, name: str) -> float | None:
    """Seconds that the training took; None if they are not known, as after a resumed training."""
    run = paths.run(name, "train") / "run.json"
    seconds = read_json(run).get("train_seconds") if run.exists() else None
    return float(seconds) if seconds else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
