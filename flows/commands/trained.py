"""Which experiments have a model: for commands that measure all of them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.compare.params import CompareParams
from tasks.core.errors import TunesmithError
from tasks.core.params import load, read_yaml, value_at
from tasks.core.paths import Paths


def trained(paths: Paths, requested: Sequence[str] | None, command: str) -> list[str]:
    """The experiments ``asked``; by default all of ``params/experiments.yaml`` that have a model, the baseline first.

    Raises:
        TunesmithError: one has no model, or none has.
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
    """The experiment that others stand beside: that of the comparison."""
    file = paths.params / "evaluation.yaml"
    return load(CompareParams, file, "compare").baseline if "compare" in read_yaml(file) else "base"
