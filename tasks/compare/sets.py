"""Sets of experiments: their scores along the axis of a sweep, the best, and the plateau around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.compare.collect import System
from tasks.compare.params import CompareParams
from tasks.compare.primary import are_labels
from tasks.core import files
from tasks.core.paths import Paths
from tasks.metrics.best import not_told_apart
from tasks.metrics.params import VerdictParams
from tasks.metrics.statistics import ROUNDING
from tasks.text.rows import group_key, row_key

Sets = Mapping[str, Mapping[str, Any]]
"""Name of a set → ``axis`` (None for a set that is no sweep), ``question`` and ``experiments``: name → value."""

LOSS = "validation_loss_per_byte"

OF_TEXTS = ("rouge1_f", "rougeL_f", "bleu")
"""Scores of texts, as in the LoRA paper's table; labels have the primary metric alone."""


def read_sets(paths: Paths) -> Sets:
    """``build/experiments/sets.json``; without the file there are no sets."""
    path = paths.resolved / "sets.json"
    sets: Sets = files.read_json(path) if path.exists() else {}
    return sets


def compare_sets(
    sets: Sets, compared: Sequence[System], params: CompareParams, verdicts: VerdictParams
) -> dict[str, dict[str, Any]]:
    """Describe each set of which an experiment is compared.

    Returns:
        Name → ``axis``, ``question``, ``experiments`` (entries in the order of the axis: ``experiment``, ``value``,
        ``validation_loss_per_byte``, ``validation_loss`` per token, ``scores``: metric → value, and
        ``trainable_parameters``), ``missing`` (names that are not compared), ``best`` (name by validation loss per
        byte; None if no experiment has a finite one), and ``plateau`` (of ``plateau``; None for a set without an
        axis).
    """
    by_name = {system.name: system for system in compared if system.kind == "experiment"}
    return {
        name: _entry(one, [by_name[member] for member in one["experiments"] if member in by_name], params, verdicts)
        for name, one in sets.items()
        if any(member in by_name for member in one["experiments"])
    }


def _entry(
    one: Mapping[str, Any], members: list[System], params: CompareParams, verdicts: VerdictParams
) -> dict[str, Any]:
    values, names = one["experiments"], {system.name for system in members}
    if _ordered([values[name] for name in names]):
        members = sorted(members, key=lambda system: values[system.name])
    losses = {system.name: loss for system in members if (loss := system.value(LOSS)) is not None}
    return {
        "axis": one["axis"],
        "question": one.get("question"),
        "experiments": [_row(system, values[system.name], params.primary) for system in members],
        "missing": [name for name in values if name not in names],
        "best": min(losses, key=losses.__getitem__) if losses else None,
        "plateau": plateau(members, values, params, verdicts) if one["axis"] is not None else None,
    }


def _row(system: System, value: Any, primary: str) -> dict[str, Any]:
    shown = (primary,) if are_labels(system.rows, primary) else tuple(dict.fromkeys((primary, *OF_TEXTS)))
    return {
        "experiment": system.name,
        "value": value,
        **{name: system.value(name) for name in (LOSS, "validation_loss")},
        "scores": {name: system.value(name) for name in shown},
        "trainable_parameters": system.model.get("trainable_parameters"),
    }


def _ordered(values: Sequence[Any]) -> bool:
    """Whether the values are numbers, of which one is the smallest."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def plateau(
    members: Sequence[System], values: Mapping[str, Any], params: CompareParams, verdicts: VerdictParams
) -> dict[str, Any]:
    """Which experiments of a sweep are not told apart from the best, by their losses of the same validation rows.

    A row counts with its loss over the bytes of the mean row. The mean of that unit is the validation loss per byte of
    all rows, so the best here is the best of the table and the candidate's rule. The mean of each row's own loss per
    byte is not: a label of one byte would weigh as much as a page. Experiments without a finite loss are left out.

    Returns:
        ``verdict``, ``experiments`` (names on the plateau, in the order of ``members``), ``smallest`` (the one of them
        with the smallest value; None if values are no numbers), ``judged`` and ``left_out`` (names), ``rows``,
        ``groups``, ``min_groups`` and ``confidence``. The verdicts:

        - ``told apart``: each of the others is shown to have a higher loss than some experiment, and only the best is
          on the plateau;
        - ``cannot be told apart``: the plateau holds more than the best;
        - ``equal``: all have the same loss in every row, so that all are on the plateau;
        - ``not enough rows``: fewer groups of rows than ``verdicts.min_groups``; the plateau is not known;
        - ``other rows``: the experiments lack losses of rows, or have those of other rows; the plateau is not known;
        - ``nothing to compare``: fewer than two experiments are judged.
    """
    judged = [system for system in members if all(math.isfinite(row["nll"]) for row in system.validation)]
    result = {
        "verdict": "nothing to compare",
        "experiments": [],
        "smallest": None,
        "judged": [system.name for system in judged],
        "left_out": [system.name for system in members if system not in judged],
        "rows": 0,
        "groups": 0,
        "min_groups": verdicts.min_groups,
        "confidence": params.confidence,
    }
    if len(judged) < 2:
        return result
    keys = {frozenset(row_key(row) for row in system.validation) for system in judged}
    if len(keys) > 1 or not judged[0].validation:
        return result | {"verdict": "other rows"}
    scores, groups = _scores(judged)
    result |= {"rows": len(scores), "groups": len(set(groups))}
    if np.ptp(scores, axis=1).max() <= ROUNDING:
        return result | {"verdict": "equal", "experiments": result["judged"]}
    if len(set(groups)) < verdicts.min_groups:
        return result | {"verdict": "not enough rows"}
    chosen = sorted(not_told_apart(scores, params, groups))
    names = [judged[number].name for number in chosen]
    return result | {
        "verdict": "told apart" if len(names) == 1 else "cannot be told apart",
        "experiments": names,
        "smallest": min(names, key=values.__getitem__) if _ordered([values[name] for name in names]) else None,
    }


def _scores(systems: Sequence[System]) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Minus the loss of each validation row over the bytes of the mean row (shape: rows, systems), and its group."""
    first = systems[0].validation
    by_key = [{row_key(row): row["nll"] for row in system.validation} for system in systems]
    losses = np.array([[of_system[row_key(row)] for of_system in by_key] for row in first], dtype=np.float64)
    size = sum(row["bytes"] for row in first) / len(first)
    return -losses / max(size, 1.0), [group_key(row) for row in first]
