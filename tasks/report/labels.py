"""Labels: confusion matrices, scores per label, and the baseline that always gives the most frequent label."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tasks.compare.cells import number
from tasks.compare.labels import NO_LABEL
from tasks.report.charts import ON_DARK, ON_LIGHT, Chart, svg
from tasks.report.facts import Facts
from tasks.report.sections import Shown

MOST_MATRICES = 6


def labels(facts: Facts) -> Shown | None:
    """Per task of labels, the matrices of the systems and their scores per label; None without such a task."""
    tasks = facts.comparison.get("labels") or {}
    return {"tasks": [_task(name, about, facts) for name, about in tasks.items()]} if tasks else None


def _task(name: str, about: dict[str, Any], facts: Facts) -> dict[str, Any]:
    order = _most_interesting(about["systems"], facts)
    return {
        "name": name,
        "majority": f"{about['majority']['label']}: {number(about['majority']['accuracy'], 100)} %",
        "charts": [_matrix(name, system, about) for system in order[:MOST_MATRICES]],
        "left_out": order[MOST_MATRICES:],
        "labels": about["labels"],
        "rows": [
            (system, [_scores(scores, index) for index in range(len(about["labels"]))])
            for system, scores in about["systems"].items()
        ],
        "counts": about["rows"],
    }


def _most_interesting(systems: dict[str, Any], facts: Facts) -> list[str]:
    """The candidate and the baseline first, then the others in order."""
    comparison = facts.comparison
    first = [name for name in (comparison["candidate"], comparison["baseline"]["name"]) if name in systems]
    return list(dict.fromkeys([*first, *systems]))


def _scores(scores: dict[str, Any], index: int) -> str:
    """Precision, recall and F1 in percent."""
    return " / ".join(number(scores[name][index], 100, digits=0) for name in ("precision", "recall", "f1"))


def _matrix(task: str, system: str, about: dict[str, Any]) -> Chart:
    names, counts = about["labels"], np.array(about["systems"][system]["counts"])
    columns = [*names, NO_LABEL]
    alt = f"Confusion matrix of {system} on {task}: rows are the right labels, columns what the system generates"
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for row, column in np.ndindex(*counts.shape):
            colour = ON_DARK if shares[row, column] > 0.5 else ON_LIGHT
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(range(len(columns)), labels=columns, rotation=35, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), labels=names, fontsize=8)
        axes.set(title=system)

    size, name = 2.2 + 0.42 * len(columns), f"labels-{re.sub(r'[^a-zA-Z0-9]+', '-', f'{task}-{system}')}"
    return Chart(
        name,
        f"{system} on {task}",
        alt,
        svg(name, draw, min(9.5, size + 1), min(8.0, 1.2 + 0.42 * len(names) + 0.8), alt),
        ["right label", *columns],
        [[label, *counts[index].tolist()] for index, label in enumerate(names)],
    )
