"""Test rows that ask for a label: which labels each system confuses, and how good it is at each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tasks.compare.collect import System
from tasks.metrics.text import answer
from tasks.text.rows import Row, by_task

NO_LABEL = "(no label)"
"""Outputs that are none of the labels."""

MOST = 30
"""A task with more labels gets no matrix, which nobody could read."""


def labels(compared: Sequence[System]) -> dict[str, Any]:
    """Confusion matrices of the rows that have the score ``accuracy``, per task.

    Labels are the first references of the rows, compared as accuracy compares them. Each prompt variant of a row counts
    as one output.

    Returns:
        ``SOURCE/TASK`` → ``labels`` (in the order of their frequency), ``rows`` of each, ``majority`` (``label`` and
        ``accuracy``: always the most frequent label of these rows) and ``systems``: name → ``counts`` (shape: labels,
        labels and one column for outputs that are no label), ``precision``, ``recall`` and ``f1`` per label. Empty if
        no row asks for a label.
    """
    tasks: dict[str, dict[str, Any]] = {}
    for system in compared:
        rows = [row for row in system.rows if row.get("accuracy") is not None and row["references"]]
        for task, members in by_task(rows).items():
            about = tasks.setdefault(task, _about(members))
            if 1 < len(about["labels"]) <= MOST:
                about["systems"][system.name] = _confused(members, about["labels"])
    return {task: about for task, about in sorted(tasks.items()) if about["systems"]}


def _about(rows: list[Row]) -> dict[str, Any]:
    names: dict[str, str] = {}
    for row in rows:
        names.setdefault(answer(row["references"][0]), row["references"][0])
    counted = Counter(answer(row["references"][0]) for row in rows)
    order = sorted(counted, key=lambda label: (-counted[label], label))
    return {
        "labels": [names[label] for label in order],
        "rows": [counted[label] for label in order],
        "majority": {"label": names[order[0]], "accuracy": counted[order[0]] / len(rows)},
        "systems": {},
    }


def _confused(rows: list[Row], names: list[str]) -> dict[str, Any]:
    numbers = {answer(name): number for number, name in enumerate(names)}
    every = np.arange(len(names) + 1)
    true = [numbers[answer(row["references"][0])] for row in rows]
    predicted = [_predicted(row, numbers) for row in rows]
    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, labels=every[:-1], zero_division=0.0)
    return {
        "counts": confusion_matrix(true, predicted, labels=every)[:-1].tolist(),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
    }


def _predicted(row: Row, numbers: dict[str, int]) -> int:
    """The number of the label that the output is; of a row with several right labels, the first reference is one."""
    if row["accuracy"] == 1:
        return numbers[answer(row["references"][0])]
    return numbers.get(answer(row["completion"]), len(numbers))
