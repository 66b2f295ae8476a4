"""The space of a sweep: check it against the experiment that the sweep starts from, and lay values over that one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.files import canonical_json
from tasks.core.params import Params, load, merge
from tasks.core.paths import Paths
from tasks.core.remedies import annotation_at
from tasks.resolve.check import Problems, Resolved, load_experiments, mapping
from tasks.resolve.params import TrainingDefaults
from tasks.sweep.params import Dimension, SweepParams
from tasks.sweep.trial_params import TrialParams, ValidationParts
from tasks.tuning import methods
from tasks.tuning.params import LoopParams, TrainedParams, parse_params, parse_trained

Values = dict[str, Any]
"""``BLOCK.KEY`` → value."""

UNSEARCHED = ("log_every", "checkpoint_steps", "checkpoints_kept", "activation_checkpointing")
"""Keys of ``training`` that change no model, so that a sweep over them would compare equal trainings."""

MOST_POINTS = 10_000
"""Points of a grid."""


@dataclass(frozen=True)
class Start:
    """The experiment that a sweep starts from.

    Attributes:
        entry: its keys in ``params/experiments.yaml``, with those that its ``like`` names, and without ``like``.
        train: its resolved parameters of training.
        base: name in ``base_models`` of its local base model; ``none`` for others.
    """

    entry: dict[str, Any]
    train: dict[str, Any]
    base: str

    def with_values(self, values: Values) -> dict[str, Any]:
        """The entry of an experiment with ``values``."""
        return merge(self.entry, nested(values))

    def trial(self, params: SweepParams, values: Values) -> TrialParams:
        """The trial of a sweep with ``values``."""
        train = merge(self.train, nested(values))
        parts = ValidationParts(check_share=params.check_share, seed=params.seed)
        return TrialParams(
            sweep=params.name,
            method=train["method"],
            mixture=train["mixture"],
            base=self.base,
            validation=parts,
            train=train,
        )


def nested(values: Values) -> dict[str, Any]:
    """``{"lora.rank": 8}`` → ``{"lora": {"rank": 8}}``."""
    patch: dict[str, Any] = {}
    for key, value in values.items():
        block, name = key.split(".")
        patch.setdefault(block, {})[name] = value
    return patch


def load_sweep(file: Path, paths: Paths) -> tuple[SweepParams, Start]:
    """Read and check the file of a sweep.

    Raises:
        TunesmithError: the file, its experiment, or its space is wrong; the error has one line per problem.
    """
    params = load(SweepParams, file)
    experiments = load_experiments(paths)
    if params.like not in experiments:
        raise TunesmithError(
            f"{file}: like: there is no experiment {params.like!r}; there are: {', '.join(experiments)}"
            f"{did_you_mean(params.like, experiments)}"
        )
    start = _start(params.like, experiments, paths)
    _refuse_unsearchable(params.like, start, file)
    problems = Problems()
    for key, dimension in params.space.items():
        problems.catch(_check_dimension, key, dimension, start, file)
    problems.refuse()
    if params.sampler == "grid":
        _check_grid(params, start, file)
    return params, start


def _start(name: str, experiments: Resolved, paths: Paths) -> Start:
    entries = mapping(paths.params / "experiments.yaml", "experiments")
    own = entries[name]
    shared = entries[own["like"]] if own.get("like") else {}
    entry = {key: value for key, value in merge(shared, own).items() if value is not None and key != "like"}
    train = experiments[name].train
    return Start(entry, train, _local_base(train["base_model"]["name"], paths))


def _local_base(base: str, paths: Paths) -> str:
    folders = load(TrainingDefaults, paths.params / "training.yaml").base_models
    listed = {(paths.root / folder).resolve(): name for name, folder in folders.items()}
    return listed.get((paths.root / base).resolve(), "none")


def _refuse_unsearchable(name: str, start: Start, file: Path) -> None:
    params = parse_params(start.train, file, "like")
    if not isinstance(params, TrainedParams):
        raise TunesmithError(f"{file}: like: must be an experiment that trains; {name!r} has method 'none'")
    if params.launcher is not None:
        raise TunesmithError(
            f"{file}: like: a trial trains in one process; {name!r} trains in {params.processes}; name an experiment "
            "without the block launcher"
        )


def _check_dimension(key: str, dimension: Dimension, start: Start, file: Path) -> None:
    """Check that the method reads ``key``, and accepts every choice or both ends of the range.

    Raises:
        TunesmithError: it does not, with one line per problem.
    """
    where = f"{file}: space.{key}"
    _refuse_unknown(key, start, where)
    if dimension.choices is None and whole(key, start):
        numbers = [value for value in (dimension.low, dimension.high, dimension.step) if value is not None]
        if wrong := [value for value in numbers if not isinstance(value, int)]:
            raise TunesmithError(
                f"{where}: {key} takes whole numbers, so low, high and step must be whole; one is {wrong[0]}"
            )
    problems = Problems()
    for value in dimension.ends:
        problems.catch(parse_trained, merge(start.train, nested({key: value})), file, "space")
    problems.refuse()


def _refuse_unknown(key: str, start: Start, where: str) -> None:
    params = methods.named(start.train["method"]).params
    assert issubclass(params, TrainedParams)
    blocks: dict[str, type[Params]] = {"training": LoopParams, **params.blocks()}
    known = [
        f"{block}.{name}"
        for block, model in blocks.items()
        for name in model.model_fields
        if not (block == "training" and name in UNSEARCHED)
    ]
    if key in known:
        return
    if key.split(".")[-1] in UNSEARCHED and key.startswith("training."):
        raise TunesmithError(f"{where}: this key changes no model, so all trials would be equal; remove it")
    raise TunesmithError(
        f"{where}: must be a key that method {start.train['method']!r} uses; those are: {', '.join(known)}"
        f"{did_you_mean(key, known)}"
    )


def whole(key: str, start: Start) -> bool:
    """Whether the key takes whole numbers only."""
    annotation = annotation_at(methods.named(start.train["method"]).params, tuple(key.split(".")))
    return float not in _types(annotation)


def _types(annotation: Any) -> set[Any]:
    arguments = get_args(annotation)
    return {annotation}.union(*map(_types, arguments))


def grid(params: SweepParams, start: Start) -> list[Values]:
    """All points of the space, in an order that the seed decides."""
    axes = [[(key, value) for value in _points(key, dimension, start)] for key, dimension in params.space.items()]
    points = [dict(point) for point in itertools.product(*axes)]
    random.Random(params.seed).shuffle(points)
    return points


def _points(key: str, dimension: Dimension, start: Start) -> list[Any]:
    if dimension.choices is not None:
        return dimension.choices
    assert dimension.low is not None and dimension.high is not None
    # Decimals, since a sum of floats leaves the range: 0.1 + 2 * 0.1 exceeds 0.3.
    low, high, step = (Decimal(str(value)) for value in (dimension.low, dimension.high, dimension.step or 1))
    points = [low + number * step for number in range(int((high - low) / step) + 1)]
    return [int(point) if whole(key, start) else float(point) for point in points]


def _check_grid(params: SweepParams, start: Start, file: Path) -> None:
    endless = [
        key
        for key, dimension in params.space.items()
        if dimension.choices is None and (dimension.log or (dimension.step is None and not whole(key, start)))
    ]
    if endless:
        raise TunesmithError(
            "\n".join(
                f"{file}: space.{key}: sampler 'grid' needs a finite number of values; write choices, or low, high "
                "and step"
                for key in endless
            )
        )
    count = 1
    for key, dimension in params.space.items():
        count *= len(_points(key, dimension, start))
    if count > MOST_POINTS or (params.trials or 0) > count:
        rule = (
            f"at most {MOST_POINTS} points"
            if count > MOST_POINTS
            else f"at least as many points as trials ({params.trials})"
        )
        raise TunesmithError(f"{file}: trials: the grid must have {rule}; it has {count}; change the space or trials")


def trial_count(params: SweepParams, start: Start) -> int:
    """The number of trials with which the sweep ends."""
    return params.trials or len(grid(params, start))


def label(value: Any) -> Any:
    """A choice as Optuna stores it: lists and mappings as JSON text."""
    return value if value is None or isinstance(value, bool | int | float | str) else canonical_json(value)


def unlabelled(values: Mapping[str, Any], params: SweepParams) -> Values:
    """The values behind the labels of choices."""
    choices = {key: {label(c): c for c in d.choices} for key, d in params.space.items() if d.choices is not None}
    return {key: choices[key][value] if key in choices else value for key, value in values.items()}


def shown(values: Values) -> str:
    """Values in one line."""
    return " ".join(f"{key}={cell(value)}" for key, value in values.items())


def cell(value: Any) -> str:
    """A value as text; a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(label(value))
