"""The likelihood of the validation completions: of all rows, of each source and task, and of each row."""

from __future__ import annotations

import pyarrow as pa

from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import Score
from tasks.evaluate.predictions import validation_loss_per_byte
from tasks.text.rows import ROW_KEY, Row, by_task

Pairs = list[tuple[Row, Row]]
"""(validation row, its likelihood); see ``tasks.evaluate.predictions.VALIDATION``."""

LOSSES = pa.schema(
    [
        *((name, pa.string()) for name in (*ROW_KEY, "task", "group")),
        ("nll", pa.float64()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
"""Columns of ``validation.parquet``: the negative log-likelihood of each validation completion in nats, end token
included; its supervised tokens; and its length in UTF-8 bytes, end token excluded."""


def validation_metrics(pairs: Pairs) -> dict[str, Score]:
    """Metrics of the validation completions, without intervals. The candidate is chosen by them."""
    rows, likelihoods = [row for row, _ in pairs], [likelihood for _, likelihood in pairs]
    nll = [one["nll"] for one in likelihoods]
    values = {
        "validation_loss": sum(nll) / sum(one["tokens"] for one in likelihoods),
        "validation_loss_per_byte": validation_loss_per_byte(rows, nll),
    }
    if any(row["answer_choices"] for row in rows):
        values["validation_accuracy"] = sum(one["exact"] for one in likelihoods) / len(likelihoods)
    return {name: {"value": value, "low": None, "high": None} for name, value in values.items()}


def row_losses(pairs: Pairs) -> list[Row]:
    """Rows of ``LOSSES``."""
    return [
        {name: row[name] for name in (*ROW_KEY, "task", "group")}
        | {"nll": likelihood["nll"], "tokens": likelihood["tokens"], "bytes": len(row["completion"].encode())}
        for row, likelihood in pairs
    ]


def losses_by_task(losses: list[Row]) -> Groups:
    """The validation loss of each source and task.

    Args:
        losses: rows of ``LOSSES``.

    Returns:
        ``{"validation": {SOURCE/TASK: {"loss": …, "loss_per_byte": …}}}``, in nats per supervised token and per byte,
        with ``n``, the number of rows. The loss per byte of empty completions is None.
    """
    return {"validation": {task: _losses(rows) for task, rows in sorted(by_task(losses).items())}}


def _losses(rows: list[Row]) -> dict[str, Score]:
    nll, count = sum(row["nll"] for row in rows), len({(row["source"], row["row_id"]) for row in rows})
    size = sum(row["bytes"] for row in rows)
    values = {
        "loss": nll / sum(row["tokens"] for row in rows),
        "loss_per_byte": nll / size if size else None,
    }
    return {name: {"value": value, "low": None, "high": None, "n": count} for name, value in values.items()}
