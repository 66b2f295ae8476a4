"""Which experiments repeat another one with another seed, as ``build/experiments`` declares it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.core.params import read_yaml
from tasks.core.paths import Paths


def seed_of(paths: Paths, name: str) -> int | None:
    """The seed of the experiment ``name``; None for a trivial baseline."""
    return _train(paths, name).get("seed")


def repeated_by(paths: Paths, name: str) -> str | None:
    """The experiment that ``name`` is like and that differs from it in ``seed`` alone; None if there is none."""
    file = paths.experiment(name) / "like.yaml"
    if not file.exists():
        return None
    other: str = read_yaml(file)["like"]
    ours, theirs = (_train(paths, one) | {"seed": None} for one in (name, other))
    generation = (read_yaml(paths.experiment(one) / "predict.yaml") for one in (name, other))
    return other if ours == theirs and next(generation) == next(generation) else None


def trainings(name: str, others: Iterable[str], paths: Paths) -> tuple[str, dict[int, str]]:
    """The experiment that ``name`` repeats, or ``name``; and its trainings by seed, out of ``name`` and ``others``.

    Of several trainings with one seed, only the first counts.
    """
    original = repeated_by(paths, name) or name
    by_seed: dict[int, str] = {}
    for one in (name, *others):
        if (seed := seed_of(paths, one)) is not None and (repeated_by(paths, one) or one) == original:
            by_seed.setdefault(seed, one)
    return original, by_seed


def _train(paths: Paths, name: str) -> dict[str, Any]:
    file = paths.experiment(name) / "train.yaml"
    return read_yaml(file) if file.exists() else {}
