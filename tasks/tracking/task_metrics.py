"""The final metrics of a run for each source and task, under prefixes that MLflow's chart view groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PARTS = ("_precision", "_recall")
"""Parts of ROUGE that a chart of every task would only crowd."""


def task_metrics(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """``validation/…``, ``validation_per_byte/…`` and ``test/…/METRIC`` of each ``SOURCE/TASK``; none for one task.

    ``validation/…`` has the name of the loss curve: MLflow then shows the value of the kept checkpoint.

    Args:
        scores: the content of ``metrics.json``.
    """
    groups = scores.get("groups", {})
    validation, test = groups.get("validation", {}), groups.get("task", {})
    if max(len(validation), len(test)) < 2:
        return {}
    metrics = {}
    for task, losses in validation.items():
        metrics[f"validation/{task}"] = losses["loss"]["value"]
        metrics[f"validation_per_byte/{task}"] = losses["loss_per_byte"]["value"]
    for task, values in test.items():
        named = {name: score["value"] for name, score in values.items() if not name.endswith(_PARTS)}
        metrics |= {f"test/{task}/{name}": value for name, value in named.items()}
    return metrics
