"""Which experiments exist, and which have a model."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import load, read_yaml, value_at
from tasks.core.paths import Paths
from tasks.resolve.check import mapping


def check_experiments(paths: Paths, command: str, names: Sequence[str] | None) -> None:
    """Raise TunesmithError if one of ``names`` is not in ``params/experiments.yaml``."""
    known = list(mapping(paths.params / "experiments.yaml", "experiments"))
    if unknown := [name for name in names or () if name not in known]:
        raise TunesmithError(
            f"{command}: no experiment {unknown[0]!r} in params/experiments.yaml; there are: {', '.join(known)}"
        )


def trained(paths: Paths, requested: Sequence[str] | None, command: str) -> list[str]:
    """The experiments ``requested``, or all of ``params/experiments.yaml`` that have a model, the baseline first.

    Raises:
        TunesmithError: one of ``requested`` has no model, or no experiment has one.
    """
    first = baseline(paths)
    known = value_at(read_yaml(paths.params / "experiments.yaml"), "experiments") or {}
    names = sorted((n for n in known if (paths.model(n) / "manifest.json").exists()), key=lambda name: name != first)
    if not names:
        raise TunesmithError(f"{command}: no experiment has a model yet; run `tunesmith run` (or `dvc repro`) first")
    if missing := [name for name in requested or () if name not in names]:
        raise TunesmithError(f"{command}: no model {missing[0]!r} is trained; there are: {', '.join(names)}")
    return list(dict.fromkeys(requested)) if requested else names


def baseline(paths: Paths) -> str:
    """The experiment that the comparison compares all others with."""
    file = paths.params / "evaluation.yaml"
    return load(CompareParams, file, "compare").baseline if "compare" in read_yaml(file) else "base"
