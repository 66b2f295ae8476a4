"""Read whole parameter files: all experiments at once, with all their errors."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import load, parse, read_yaml
from tasks.core.paths import Paths
from tasks.evaluate.params import EvaluateParams
from tasks.resolve.like import shared_keys
from tasks.resolve.params import Experiment, TrainingDefaults
from tasks.resolve.pins import Pins, load_pins, pinned
from tasks.resolve.resolve import ResolvedExperiment, known_methods, resolve
from tasks.tuning.untrained import is_trained

Resolved = dict[str, ResolvedExperiment]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""A name is a folder, a key of DVC and a part of ``stage@name``."""


class Problems:
    """Collects the errors of several checks, so that a user sees them all at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def catch(self, check: Callable[..., Any], *arguments: Any) -> Any:
        """Return what ``check(*arguments)`` returns; if it raises, keep the lines of the error and return None."""
        try:
            return check(*arguments)
        except TunesmithError as error:
            self.lines += [line for line in str(error).splitlines() if line not in self.lines]
            return None

    def refuse(self) -> None:
        """Raise the collected errors as one, if there are any."""
        if self.lines:
            raise TunesmithError("\n".join(self.lines))


def mapping(path: Path, key: str) -> dict[str, Any]:
    """Read the mapping of names under ``key`` of a parameter file.

    Raises:
        TunesmithError: the key is missing, its value is not a mapping, or a name cannot be a folder.
    """
    data = read_yaml(path)
    if key not in data:
        raise TunesmithError(f"{path}: {key}: this key is required; add it (`{key}: {{}}` when there is nothing)")
    named = {} if data[key] is None else data[key]
    if not isinstance(named, dict):
        raise TunesmithError(f"{path}: {key}: must be a mapping of names; it is a {type(named).__name__}")
    bad = [name for name in named if not (isinstance(name, str) and _NAME.fullmatch(name))]
    if bad:
        rule = "a name must be text of lower-case letters, digits, '-' and '_'"
        lines = [f"{path}: {key}.{name}: {rule}; it is {name!r}; rename it (put a number in quotes)" for name in bad]
        raise TunesmithError("\n".join(lines))
    return named


def only_keys(path: Path, keys: set[str]) -> None:
    """Refuse a parameter file with a top-level key that is not one of ``keys``."""
    for key in read_yaml(path):
        if key not in keys:
            raise TunesmithError(f"{path}: {key}: unknown key; known here: {', '.join(sorted(keys))}")


def load_experiments(
    paths: Paths,
    experiments: dict[str, Any] | None = None,
    mixtures: dict[str, Any] | None = None,
    pins: Pins | None = None,
) -> Resolved:
    """Resolve every experiment.

    Args:
        experiments: entries in place of those in ``params/experiments.yaml``, to check them before they are written.
        mixtures: entries in place of those in ``params/mixtures.yaml``.
        pins: versions of registered base models in place of those in ``params/bases.yaml``.

    Raises:
        TunesmithError: an experiment is wrong; one error holds those of all experiments.
    """
    file = paths.params / "experiments.yaml"
    defaults = load(TrainingDefaults, paths.params / "training.yaml")
    evaluate = read_yaml(paths.params / "evaluation.yaml").get("evaluate") or {}
    problems, resolved = Problems(), {}
    if mixtures is None:
        mixtures = problems.catch(mapping, paths.params / "mixtures.yaml", "mixtures")
    if problems.catch(parse, EvaluateParams, evaluate, paths.params / "evaluation.yaml", "evaluate") is None:
        evaluate = {}  # its errors are collected; the experiments are still checked
    problems.catch(known_methods, defaults, paths.params / "training.yaml")
    entries = mapping(file, "experiments") if experiments is None else experiments
    known_pins = (problems.catch(load_pins, paths) or {}) if pins is None else pins

    def one(name: str, data: Any) -> Any:
        experiment = parse(Experiment, data, file, f"experiments.{name}")
        # Refuse it in this stage: DVC would delete the outputs of a training whose mixture is missing.
        if mixtures is not None and experiment.mixture not in mixtures:
            problems.lines.append(
                f"{file}: experiments.{name}.mixture: there is no mixture {experiment.mixture!r} in "
                f"params/mixtures.yaml; there are: {', '.join(mixtures)}{did_you_mean(experiment.mixture, mixtures)}"
            )
        shared = shared_keys(name, experiment, entries, file)
        parameters = resolve(name, experiment, shared, defaults, evaluate, file)
        own_base = any("name" in (entry.base_model or {}) for entry in (experiment, shared) if entry is not None)
        base = pinned(parameters.train["base_model"], name, own_base, is_trained(experiment.method), known_pins)
        return dataclasses.replace(parameters, train=parameters.train | {"base_model": base})

    for name, data in entries.items():
        if (parameters := problems.catch(one, name, data)) is not None:
            resolved[name] = parameters
    problems.refuse()
    return resolved
