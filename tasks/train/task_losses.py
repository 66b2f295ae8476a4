"""The validation loss of each source and task of a mixture."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.model.likelihood import Likelihood

PREFIX = "validation/"
"""Stands before ``SOURCE/TASK`` in the loss curve. MLflow's chart view groups metrics by the first part of a name."""


def task_losses(result: Likelihood, tasks: Sequence[str]) -> dict[str, float]:
    """Split the validation loss by task, without reading a row again.

    Args:
        tasks: ``SOURCE/TASK`` of each row of ``result``.

    Returns:
        ``PREFIX`` and ``SOURCE/TASK`` → nats per supervised token of its rows. Empty if all rows have one task, whose
        loss is that of all rows.
    """
    sums: dict[str, tuple[float, int]] = {}
    for task, nll, tokens in zip(tasks, result.nll, result.tokens, strict=True):
        total, count = sums.get(task, (0.0, 0))
        sums[task] = total + nll, count + tokens
    if len(sums) < 2:
        return {}
    return {f"{PREFIX}{task}": total / count for task, (total, count) in sorted(sums.items())}
