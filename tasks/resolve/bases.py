"""The base models of all experiments: which experiments use each, and whether it is available."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from tasks.core.errors import TunesmithError
from tasks.core.files import read_json
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.model.base_models import BaseModelParams, is_local, refuse_missing
from tasks.resolve.check import Problems, Resolved, load_experiments
from tasks.resolve.params import TrainingDefaults
from tasks.tuning.params import parse_params

T = TypeVar("T")


def base_models(paths: Paths) -> list[tuple[BaseModelParams, list[str]]]:
    """Each distinct base model after resolving, with the experiments that use it.

    Raises:
        TunesmithError: an experiment cannot be resolved.
    """
    users: list[tuple[BaseModelParams, list[str]]] = []
    for name, resolved in load_experiments(paths).items():
        params = parse_params(resolved.train, paths.experiment(name) / "train.yaml").base_model
        known = next((names for base, names in users if base == params), None)
        if known is None:
            users.append((params, [name]))
        else:
            known.append(name)
    return users


def fingerprints(paths: Paths, resolved: Resolved) -> dict[str, dict[str, str]]:
    """Content of ``base.yaml`` for each experiment: the name of its base, and the fingerprint of a local one.

    A fingerprint that ``base@NAME`` has not written yet is left out.

    Raises:
        TunesmithError: ``base_models`` of ``params/training.yaml`` lacks a local base model that an experiment uses.
    """
    file = paths.params / "training.yaml"
    listed = {
        (paths.root / folder).resolve(): name for name, folder in load(TrainingDefaults, file).base_models.items()
    }
    content: dict[str, dict[str, str]] = {}
    problems = Problems()
    for experiment, parameters in resolved.items():
        base = str(parameters.train["base_model"]["name"])
        content[experiment] = {"name": base}
        if base.startswith("embedded:") or not is_local(base, paths.root):
            continue
        folder = (paths.root / base).resolve()
        name = listed.get(folder)
        if folder.is_relative_to(paths.root.resolve() / "models"):
            problems.lines.append(
                f"{paths.params / 'experiments.yaml'}: {experiment}: base_model.name: must not be an output of this "
                f"workspace, or every stage would depend on itself; it is {base}; copy the folder (such as "
                f"`cp -r {base} bases/{folder.name}`) and list the copy under base_models in {file.name}"
            )
        elif name is None:
            problems.lines.append(
                f"{file}: base_models: must list every local base model, so that a change of its files is noticed; it "
                f"lacks {base} of {experiment}; add an entry (`base_models: {{NAME: {base}}}`)"
            )
        elif paths.base(name).exists():
            content[experiment]["sha256"] = read_json(paths.base(name))["sha256"]
    problems.refuse()
    return content


def refuse_missing_bases(paths: Paths, experiments: Collection[str] | None = None) -> None:
    """Check the base models of ``experiments`` (by default of all) before anything runs; no weights are read.

    Raises:
        TunesmithError: base models are missing; one line for each, with the experiments that need it.
    """
    problems = Problems()
    for params, names in base_models(paths):
        needed = [name for name in names if experiments is None or name in experiments]
        if needed:
            problems.catch(named, needed, lambda params=params: refuse_missing(params, paths.root))
    problems.refuse()


def named(experiments: list[str], check: Callable[[], T]) -> T:
    """Return what ``check`` returns; an error of it begins with the names of ``experiments``."""
    try:
        return check()
    except TunesmithError as error:
        raise TunesmithError(f"base model of {', '.join(experiments)}: {error}") from None
