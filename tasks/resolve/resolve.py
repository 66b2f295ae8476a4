"""Defaults and patches → the parameters that each experiment really uses, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import Place, merge, parse_merged
from tasks.evaluate.params import EvaluateParams
from tasks.resolve.params import ExperimentKeys, TrainingDefaults, method_blocks
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams

_TRAINING_ONLY = ("max_dropped", "truncate", "launcher")
"""Keys besides the blocks that only an experiment that trains uses."""


def resolve(
    name: str, experiment: ExperimentKeys, defaults: TrainingDefaults, evaluate: dict[str, Any], file: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The resolved ``train.yaml`` and ``evaluate.yaml`` of one experiment, as mappings.

    Raises:
        TunesmithError: an unknown method, a patch that the method does not use, or a wrong key or value.
    """
    where = f"experiments.{name}"
    training_file, evaluation_file = file.with_name("training.yaml"), file.with_name("evaluation.yaml")
    if experiment.method not in methods.names():
        raise TunesmithError(
            f"{file}: {where}.method: must be one of {', '.join(methods.names())}; it is {experiment.method!r}"
            f"{did_you_mean(experiment.method, methods.names())}"
        )
    params = methods.named(experiment.method).params
    blocks = ("training", *params.blocks()) if issubclass(params, TrainedParams) else ()
    given = experiment.model_dump(exclude_none=True, exclude={"evaluation"})
    all_blocks = ("training", *method_blocks())
    for block in all_blocks:
        if given[block] and block not in blocks:
            raise TunesmithError(
                f"{file}: {where}.{block}: method {experiment.method!r} does not use this block; remove it, or "
                f"choose another method"
            )
    merged = merge(merge(defaults.defaults, defaults.methods.get(experiment.method, {})), given)
    unused = {*all_blocks} - {*blocks} | ({*_TRAINING_ONLY} if not blocks else set())
    train = {key: value for key, value in merged.items() if key not in unused}
    method: Place = (training_file, f"methods.{experiment.method}")
    layers = [(given, (file, where)), (defaults.methods.get(experiment.method, {}), method)]
    parse_merged(params, train, _origin([*layers, (defaults.defaults, (training_file, "defaults"))], method))
    evaluated = merge(evaluate, experiment.evaluation)
    patch: Place = (file, f"{where}.evaluation")
    parse_merged(
        EvaluateParams,
        evaluated,
        _origin([(experiment.evaluation, patch), (evaluate, (evaluation_file, "evaluate"))], patch),
    )
    return train, evaluated


def known_methods(defaults: TrainingDefaults, file: Path) -> None:
    """Refuse defaults of a method that does not exist: nothing would read them."""
    unknown = [method for method in defaults.methods if method not in methods.names()]
    if unknown:
        raise TunesmithError(f"{file}: methods.{unknown[0]}: no such method; there are: {', '.join(methods.names())}")


def _origin(layers: list[tuple[dict[str, Any], Place]], otherwise: Place) -> Callable[[tuple[Any, ...]], Place]:
    """The place of the topmost layer that holds a location; ``otherwise`` for one that none holds (a missing key)."""

    def origin(location: tuple[Any, ...]) -> Place:
        return next((place for data, place in layers if _holds(data, location)), otherwise)

    return origin


def _holds(data: Any, location: tuple[Any, ...]) -> bool:
    for part in location:
        if not isinstance(data, dict):
            return True  # the rest names a branch of a union or a place in a list
        if part not in data:
            return False
        data = data[part]
    return True
