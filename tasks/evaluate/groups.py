"""Scores per group of test rows: tasks, templates, seen and unseen prompts, clean and dirty rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.evaluate.metrics import corpus
from tasks.metrics.names import OPTIONAL_SCORES, ROUGE_COLUMNS
from tasks.metrics.params import IntervalParams
from tasks.metrics.statistics import averaged_columns, mean_intervals
from tasks.text.rows import Row, RowKey, by_task, row_key

METRICS = ("rouge1_f", "exact_match", "accuracy", "token_f1")
FEWEST = 10
"""Fewest rows of a template whose mean counts in ``wording_spread``."""

Groups = dict[str, dict[str, dict[str, Any]]]


def groups(
    predictions: list[Row],
    params: IntervalParams,
    manifest: Mapping[str, Any] | None = None,
    dirty: Mapping[RowKey, bool] | None = None,
) -> Groups:
    """Compute ``groups`` of ``metrics.json``: kind of group → group → metric → ``value``, ``low``, ``high``, ``n``.

    ``n`` counts rows; a row with several prompt variants counts once. The kinds are:

    - ``task`` (``SOURCE/TASK``), and ``template`` (``SOURCE/ID``);
    - ``wording_spread``: the spread between the templates of a task (see that function);
    - ``wording`` and ``task_seen``, with the groups ``seen`` and ``unseen``, for a trained model. A prompt variant is
      seen if the model was trained on a template of the same text, under any name;
    - ``contamination``, with the groups ``clean`` and ``dirty``, if ``dirty`` is given.

    Args:
        manifest: ``templates`` and ``tasks`` that the model was trained on.
        dirty: whether each test row counts as seen in training.

    Raises:
        TunesmithError: ``dirty`` lacks a row.
    """
    by_kind = {
        "task": {task: task_scores(rows, params) for task, rows in sorted(by_task(predictions).items())},
        "template": _scores(predictions, _template, params),
        "wording_spread": wording_spread(predictions),
    }
    trained = manifest or {}
    if trained.get("templates"):
        texts = set(trained["templates"].values())
        by_kind["wording"] = _scores(predictions, lambda row: _seen(row["template"] in texts), params)
    if trained.get("tasks"):
        by_kind["task_seen"] = _scores(predictions, lambda row: _seen(row["task"] in trained["tasks"]), params)
    if dirty is not None:
        by_kind["contamination"] = _scores(predictions, lambda row: _clean_or_dirty(row, dirty), params)
    return by_kind


def task_scores(rows: list[Row], params: IntervalParams, *more: str) -> dict[str, Any]:
    """Scores of the rows of one task, with its corpus metrics, which mean nothing over several tasks together.

    Args:
        more: score columns besides those of every prediction.
    """
    return row_means(rows, (*ROUGE_COLUMNS, *OPTIONAL_SCORES, *more), params) | corpus_of(rows, params)


def corpus_of(rows: list[Row], params: IntervalParams) -> dict[str, Any]:
    """Metrics that are not means over ``rows``."""
    count = len({(row["source"], row["row_id"]) for row in rows})
    return {name: score | {"n": count} for name, score in corpus(rows, params).items()}


def _template(row: Row) -> str:
    return f"{row['source']}/{row['template_id']}"


def _seen(seen: bool) -> str:
    return "seen" if seen else "unseen"


def _clean_or_dirty(row: Row, dirty: Mapping[RowKey, bool]) -> str:
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
    """Means of ``metrics`` with intervals, each over the rows that have the score: only labels have an accuracy."""
    names = tuple(metrics)
    scores, of_rows = averaged_columns(rows, names)
    intervals = mean_intervals(scores, params, of_rows)
    counts = np.isfinite(scores).sum(axis=0)
    return {
        name: {**interval._asdict(), "n": int(count)}
        for name, interval, count in zip(names, intervals, counts, strict=True)
        if interval is not None
    }


def wording_spread(predictions: list[Row]) -> dict[str, dict[str, Any]]:
    """Measure how far the means of a task's templates lie apart.

    Templates with fewer than ``FEWEST`` rows do not count, and a task with one template has no spread. If each row is
    rendered with only one template, the templates have different rows, which adds to the spread.

    Returns:
        ``SOURCE/TASK`` → metric → ``spread`` (highest minus lowest mean), ``deviation`` (standard deviation of the
        means), ``wordings`` (number of templates), and the ``lowest`` and ``highest`` template.
    """
    spread: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        values: dict[str, dict[str, list[float]]] = {}
        for row in predictions:
            if row[metric] is not None:
                by_template = values.setdefault(f"{row['source']}/{row['task']}", {})
                by_template.setdefault(row["template_id"], []).append(row[metric])
        for task, by_template in sorted(values.items()):
            means = {name: float(np.mean(v)) for name, v in sorted(by_template.items()) if len(v) >= FEWEST}
            if len(means) > 1:
                spread.setdefault(task, {})[metric] = {
                    "spread": max(means.values()) - min(means.values()),
                    "deviation": float(np.std(list(means.values()))),
                    "wordings": len(means),
                    "lowest": min(means, key=means.__getitem__),
                    "highest": max(means, key=means.__getitem__),
                }
    return spread


def dirty_rows(dirty: Path, test: Iterable[tuple[Row, Row]]) -> dict[RowKey, bool]:
    """Mark the test rows that count as seen in training.

    These are the rows that the mixture's ``dirty.parquet`` marks, and those that an ancestor of the model was trained
    on.

    Args:
        test: (row, prediction) pairs; see ``tasks.evaluate.predictions.TEST``.
    """
    marked = {row_key(row): bool(row["dirty"]) for row in files.read_rows(dirty)}
    for row, prediction in test:
        if prediction["of_ancestor"] and row_key(row) in marked:
            marked[row_key(row)] = True
    return marked
