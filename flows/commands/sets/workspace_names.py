"""The sources, mixtures and base models of a workspace that fill a set of experiments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.params import MixtureParams, Share
from tasks.model.base_models import BaseModelParams, is_local, refuse_missing
from tasks.resolve.check import Problems, mapping
from tasks.resolve.params import TrainingDefaults
from tasks.split.params import SplitParams


def choose_source(paths: Paths, requested: str | None, evaluated: Sequence[str]) -> str:
    """The source that the experiments train on: ``requested``, or the only one of ``evaluated``.

    Raises:
        TunesmithError: there are several, or the test rows of ``requested`` are not evaluated, or it has no training
            rows.
    """
    listed = f"{paths.params / 'evaluation.yaml'}: evaluation_set.sources"
    if requested is None and len(evaluated) > 1:
        raise TunesmithError(f"{listed}: names several sources: {', '.join(evaluated)}; choose one with `--source`")
    source = evaluated[0] if requested is None else requested
    known = list(mapping(paths.params / "sources.yaml", "sources"))
    if source not in known:
        raise TunesmithError(
            f"experiments use: --source: there is no source {source!r} in params/sources.yaml; there are: "
            f"{', '.join(known)}{did_you_mean(source, known)}"
        )
    if source not in evaluated:
        raise TunesmithError(
            f"{listed}: must list the source that the set is about, since only listed sources are evaluated; {source} "
            f"is not one of {', '.join(evaluated)}; add it to the list"
        )
    if "train" not in _parts(paths, source):
        raise TunesmithError(
            f"{paths.params / 'sources.yaml'}: sources.{source}.split: must have a train part, since the experiments "
            "train on it; it has none; choose another source with `--source`"
        )
    return source


@dataclass(frozen=True)
class Others:
    """The other sources of a workspace.

    Attributes:
        names: those with training and test rows.
        retained: those of ``names`` that ``evaluation_set.retention.sources`` lacks.
        lines: remarks about the others.
    """

    names: list[str]
    retained: list[str]
    lines: list[str]


def other_sources(paths: Paths, source: str, evaluation: EvaluationSetParams) -> Others:
    """The sources besides ``source``.

    Raises:
        TunesmithError: there is no other source with training and test rows.
    """
    every = [name for name in mapping(paths.params / "sources.yaml", "sources") if name != source]
    names = [name for name in every if {"train", "test"} <= set(_parts(paths, name))]
    if not names:
        raise TunesmithError(
            f"{paths.params / 'sources.yaml'}: sources: the set needs another source with training and test rows, to "
            f"show what is forgotten; there is none besides {source}; add one with `tunesmith data add`"
        )
    lines = [f"left out: {name}, whose split has no {_lacking(paths, name)}" for name in every if name not in names]
    evaluated = [name for name in names if name in evaluation.sources]
    lines += [f"{name} is one of evaluation_set.sources, so its test rows are evaluated already" for name in evaluated]
    known = [*evaluation.sources, *evaluation.retention.sources]
    return Others(names, [name for name in names if name not in known], lines)


def _lacking(paths: Paths, source: str) -> str:
    return " and no ".join(f"{part} part" for part in ("train", "test") if part not in _parts(paths, source))


def _parts(paths: Paths, source: str) -> list[str]:
    split = load(SplitParams, paths.params / "sources.yaml", "sources", source, "split")
    return list(split.required_parts())


def mixture_of(paths: Paths, source: str) -> str | None:
    """The mixture of ``source`` alone with default settings, that of its own name first; None if there is none."""
    file = paths.params / "mixtures.yaml"
    alone = MixtureParams(sources={source: Share()})
    names = [name for name in mapping(file, "mixtures") if load(MixtureParams, file, "mixtures", name) == alone]
    return min(names, key=lambda name: name != source, default=None)


def training_rows(paths: Paths, source: str, mixture: str | None = None) -> int | None:
    """The training rows of ``source``, after contamination if ``mixture`` of it alone is built; None before."""
    files = [paths.split(source) / "train.parquet"]
    if mixture is not None:
        files.insert(0, paths.mixture(mixture) / "train.parquet")
    built = next((file for file in files if file.exists()), None)
    return pq.read_metadata(built).num_rows if built else None


def named_bases(paths: Paths, requested: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """The base models that a user names: name for an experiment → ``base_model``.

    A name is a key of ``base_models`` in ``params/training.yaml``, or a ``base_model.name``; a hub id
    needs ``@REVISION``.

    Raises:
        TunesmithError: a base model is missing, or has the name of another one.
    """
    listed = load(TrainingDefaults, paths.params / "training.yaml").base_models
    bases: dict[str, dict[str, Any]] = {}
    problems = Problems()
    for text in requested:
        pinned = re.fullmatch(r"(.+)@([0-9a-f]{40})", text)
        model = {"name": pinned[1], "revision": pinned[2]} if pinned else {"name": listed.get(text, text)}
        name = _short(text if text in listed else model["name"])
        if name in bases:
            problems.lines.append(
                f"experiments use: --base: {text} and {bases[name]['name']} would both be named {name!r}; give a local "
                "one another name under base_models in params/training.yaml"
            )
        problems.catch(_available, text, model, paths)
        bases[name] = model
    problems.refuse()
    return bases


def _available(text: str, model: dict[str, Any], paths: Paths) -> None:
    name = model["name"]
    if "revision" not in model and not name.startswith("embedded:") and not is_local(name, paths.root):
        raise TunesmithError(
            f"experiments use: --base {text}: a hub id needs a commit hash, so that a later run uses the same weights; "
            f"write {name}@REVISION (40 hex digits), or name an existing folder"
        )
    try:
        refuse_missing(BaseModelParams(**model), paths.root)
    except TunesmithError as error:
        raise TunesmithError(f"experiments use: --base {text}: {error}") from None


def _short(name: str) -> str:
    """The last part of a base model's name, as a part of an experiment's name."""
    last = re.split(r"[/:]", name.rstrip("/"))[-1]
    return re.sub(r"[^a-z0-9_-]+", "-", last.lower()).strip("-")
