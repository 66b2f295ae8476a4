"""Scores by group: tasks, wordings, what was seen in training and what was not, clean and dirty rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.evaluate.metrics import corpus
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import mean_interval, row_averages
from tasks.text.rows import Row, RowKey, row_key

METRICS = ("rouge1_f", "exact_match", "accuracy", "token_f1")
FEWEST = 10
"""Rows that a wording needs for its mean to count in the spread."""

Groups = dict[str, dict[str, dict[str, Any]]]


def groups(
    predictions: list[Row],
    params: IntervalParams,
    manifest: Mapping[str, Any] | None = None,
    dirty: Mapping[RowKey, bool] | None = None,
) -> Groups:
    """``groups`` of ``metrics.json``: kind of group → group → metric → ``value``, ``low``, ``high`` and ``n`` (rows,
    each once in however many wordings it is asked).

    Kinds: ``task``; ``template`` (``SOURCE/ID``); of a trained model's ``manifest`` ``wording`` and ``task_seen`` with
    the groups ``seen`` and ``unseen``; ``contamination`` with ``clean`` and ``dirty`` where ``dirty`` tells these
    apart. ``wording_spread`` is for each task of a source how far its wordings' means lie apart. A wording is seen
    where a template of the same text was trained on, under whatever name.

    Raises:
        TunesmithError: a row of which ``dirty`` does not tell.
    """
    found = {
        "task": _tasks(predictions, params),
        "template": _scores(predictions, _template, params),
        "wording_spread": wording_spread(predictions),
    }
    known = manifest or {}
    if known.get("templates"):
        wordings = set(known["templates"].values())
        found["wording"] = _scores(predictions, lambda row: _seen(row["template"] in wordings), params)
    if known.get("tasks"):
        found["task_seen"] = _scores(predictions, lambda row: _seen(row["task"] in known["tasks"]), params)
    if dirty is not None:
        found["contamination"] = _scores(predictions, lambda row: _dirt(row, dirty), params)
    return found


def _tasks(predictions: list[Row], params: IntervalParams) -> dict[str, dict[str, Any]]:
    """Also with what is no mean over rows: labels and numbers of several tasks at once would say nothing."""
    found = _scores(predictions, lambda row: str(row["task"]), params)
    for task, scores in found.items():
        scores |= corpus_of([row for row in predictions if str(row["task"]) == task], params)
    return found


def corpus_of(rows: list[Row], params: IntervalParams) -> dict[str, Any]:
    """What is no mean over ``rows``. Its interval draws answers, so of rows in several wordings it is too narrow."""
    count = len({(row["source"], row["row_id"]) for row in rows})
    return {name: score | {"n": count} for name, score in corpus(rows, params).items()}


def _template(row: Row) -> str:
    return f"{row['source']}/{row['template_id']}"


def _seen(seen: bool) -> str:
    return "seen" if seen else "unseen"


def _dirt(row: Row, dirty: Mapping[RowKey, bool]) -> str:
    key = row_key(row)
    if key not in dirty:
        raise TunesmithError(
            f"dirty.parquet of the mixture: must hold every test row; row {key[1]} of {key[0]} with template {key[2]} "
            "is missing; run `tunesmith run` (or `dvc repro`) to build it anew"
        )
    return "dirty" if dirty[key] else "clean"


def _scores(predictions: list[Row], name: Callable[[Row], str], params: IntervalParams) -> dict[str, dict[str, Any]]:
    members: dict[str, list[Row]] = {}
    for row in predictions:
        members.setdefault(name(row), []).append(row)
    return {group: row_means(rows, METRICS, params) for group, rows in sorted(members.items())}


def row_means(rows: list[Row], metrics: Iterable[str], params: IntervalParams) -> dict[str, Any]:
    """Means of those ``metrics`` that the rows have: not every completion is a label."""
    found = {}
    for metric in metrics:
        values = row_averages((row_key(row), row[metric]) for row in rows if row[metric] is not None)
        if len(values):
            value, low, high = mean_interval(values, params.resamples, params.confidence, params.seed)
            found[metric] = {"value": value, "low": low, "high": high, "n": len(values)}
    return found


def wording_spread(predictions: list[Row]) -> dict[str, dict[str, Any]]:
    """``SOURCE/TASK`` → metric → ``spread`` (highest minus lowest mean), ``deviation`` (standard deviation of the
    means), ``wordings``, and the ``lowest`` and ``highest`` of them; of wordings with at least ``FEWEST`` rows.

    A task that is asked for in one wording has no spread. Where each row has one wording, that wordings meet other
    rows adds to the spread.
    """
    found: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        values: dict[str, dict[str, list[float]]] = {}
        for row in predictions:
            if row[metric] is not None:
                wordings = values.setdefault(f"{row['source']}/{row['task']}", {})
                wordings.setdefault(row["template_id"], []).append(row[metric])
        for task, wordings in sorted(values.items()):
            means = {name: float(np.mean(v)) for name, v in sorted(wordings.items()) if len(v) >= FEWEST}
            if len(means) > 1:
                found.setdefault(task, {})[metric] = {
                    "spread": max(means.values()) - min(means.values()),
                    "deviation": float(np.std(list(means.values()))),
                    "wordings": len(means),
                    "lowest": min(means, key=means.__getitem__),
                    "highest": max(means, key=means.__getitem__),
                }
    return found


def dirty_rows(dirty: Path, test: Iterable[tuple[Row, Row]]) -> dict[RowKey, bool]:
    """Which test rows count as seen in training.

    These are the dirty rows of the mixture's ``dirty.parquet``, and those that an ancestor of the model was trained on.

    Args:
        test: (row, prediction) pairs; see ``tasks.evaluate.predictions.TEST``.
    """
    marked = {row_key(row): bool(row["dirty"]) for row in files.read_rows(dirty)}
    for row, prediction in test:
        if prediction["of_ancestor"] and row_key(row) in marked:
            marked[row_key(row)] = True
    return marked
