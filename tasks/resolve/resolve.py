"""Merge defaults and patches into the parameters that each experiment uses, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import Origin, merge, parse_merged
from tasks.evaluate.params import EvaluateParams
from tasks.resolve.params import ExperimentKeys, TrainingDefaults, method_blocks
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams

_TRAINING_ONLY = ("beyond_context", "max_dropped", "truncate", "launcher")
"""Keys that an experiment without training does not use, besides the blocks."""


Layer = tuple[dict[str, Any], Origin]
"""A mapping that is merged, and the file and key that hold it."""


@dataclass(frozen=True)
class ResolvedExperiment:
    """The parameters that an experiment uses.

    Attributes:
        train: content of ``train.yaml``.
        evaluate: ``EvaluateParams`` as a mapping.
        like: the experiment whose keys it shares; None if it has no key ``like``.
    """

    train: dict[str, Any]
    evaluate: dict[str, Any]
    like: str | None


def resolve(
    name: str,
    experiment: ExperimentKeys,
    shared: ExperimentKeys | None,
    defaults: TrainingDefaults,
    evaluate: dict[str, Any],
    file: Path,
) -> ResolvedExperiment:
    """Resolve one experiment.

    Args:
        name: name of the experiment.
        experiment: its entry in ``params/experiments.yaml``.
        shared: the entry that its key ``like`` names; None without the key.
        defaults: content of ``params/training.yaml``.
        evaluate: ``evaluate`` of ``params/evaluation.yaml``.
        file: path of ``experiments.yaml``.

    Raises:
        TunesmithError: an unknown method, a block that the method does not use, or a wrong key or value.
    """
    entries = [(experiment, f"experiments.{name}")]
    if shared is not None:
        entries.append((shared, f"experiments.{experiment.like}"))
    train = _training(entries, defaults, file)
    layers: list[Layer] = [(entry.evaluation, (file, f"{key}.evaluation")) for entry, key in entries]
    layers.append((evaluate, (file.with_name("evaluation.yaml"), "evaluate")))
    evaluated = _merged(layers)
    parse_merged(EvaluateParams, evaluated, _origin_in(layers, otherwise=layers[0][1]))
    return ResolvedExperiment(train, evaluated, experiment.like)


def _training(entries: list[tuple[ExperimentKeys, str]], defaults: TrainingDefaults, file: Path) -> dict[str, Any]:
    """Merge and check ``train.yaml``; ``entries``: of the experiment and of the one it is like, with their keys."""
    experiment, key = entries[0]
    if experiment.method not in methods.names():
        raise TunesmithError(
            f"{file}: {key}.method: must be one of {', '.join(methods.names())}; it is {experiment.method!r}"
            f"{did_you_mean(experiment.method, methods.names())}"
        )
    params = methods.named(experiment.method).params
    unused = {"training", *method_blocks()}
    if issubclass(params, TrainedParams):
        unused -= {"training", *params.blocks()}
    # A key that the experiment sets to null has the default, even if the entry that ``like`` names sets it.
    reset = {name for name in experiment.model_fields_set if getattr(experiment, name) is None}
    patches: list[Layer] = [
        (entry.model_dump(exclude_none=True, exclude={"evaluation", "like", *reset}), (file, at))
        for entry, at in entries
    ]
    for block, patch in patches[0][0].items():
        if block in unused and patch:
            raise TunesmithError(
                f"{file}: {key}.{block}: method {experiment.method!r} does not use this block; remove it, or choose "
                "another method"
            )
    training_file = Path(file).with_name("training.yaml")
    layers: list[Layer] = [
        *patches,
        (defaults.methods.get(experiment.method, {}), (training_file, f"methods.{experiment.method}")),
        (defaults.defaults, (training_file, "defaults")),
    ]
    merged = _merged(layers)
    if not issubclass(params, TrainedParams):
        unused |= {*_TRAINING_ONLY}
    train = {key: value for key, value in merged.items() if key not in unused}
    parse_merged(params, train, _origin_in(layers, otherwise=layers[-2][1]))
    return train


def _merged(layers: list[Layer]) -> dict[str, Any]:
    """Merge ``layers``; the first is the topmost."""
    merged: dict[str, Any] = {}
    for data, _ in reversed(layers):
        merged = merge(merged, data)
    return merged


def known_methods(defaults: TrainingDefaults, file: Path) -> None:
    """Refuse defaults of a method that does not exist: nothing would read them."""
    unknown = [method for method in defaults.methods if method not in methods.names()]
    if unknown:
        raise TunesmithError(f"{file}: methods.{unknown[0]}: no such method; there are: {', '.join(methods.names())}")


def _origin_in(layers: list[Layer], otherwise: Origin) -> Callable[[tuple[Any, ...]], Origin]:
    """Return a function that maps a location to the origin of the topmost layer that holds it.

    ``otherwise`` is the origin of a location that no layer holds, such as a missing key.
    """

    def origin_of(location: tuple[Any, ...]) -> Origin:
        return next((origin for data, origin in layers if _holds(data, location)), otherwise)

    return origin_of


def _holds(data: Any, location: tuple[Any, ...]) -> bool:
    for part in location:
        if not isinstance(data, dict):
            return True  # the rest names a branch of a union or an index of a list
        if part not in data:
            return False
        data = data[part]
    return True
