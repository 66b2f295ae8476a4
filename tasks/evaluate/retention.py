"""What a model could do before it was tuned: tasks that it was not tuned on, answered by every experiment alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks import device, files
from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import PREDICTIONS, corpus, means
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.predict import Predictor
from tasks.evaluate.report import score
from tasks.likelihood import likelihood
from tasks.metrics.names import ASKED, ROUGE_COLUMNS
from tasks.rows import Row

RETENTION = PREDICTIONS.append(pa.field("loss_per_byte", pa.float64()))
"""Columns of ``retention.parquet``: ``PREDICTIONS``, and the negative log-likelihood of the first reference in nats a
byte. Of general text, where no answer is right, that loss is what is kept or lost."""


def retained(predictor: Predictor, path: Path, params: EvaluateParams, output: Path) -> Groups | None:
    """Answer the rows of ``path`` (``retention.parquet`` of the evaluation set), write ``output`` (columns:
    ``RETENTION``), and give ``SOURCE/TASK`` → metric → score; None where there are no such rows."""
    rows = files.read_rows(path) if path.exists() else []
    if not rows:
        return None
    answers = predictor.generate([row["prompt"] for row in rows])
    said = [{"completion": a.text, "new_tokens": a.new_tokens, "finished": a.finished} for a in answers]
    losses = _losses(predictor, rows, params)
    scored = [row | {"loss_per_byte": loss} for row, loss in zip(score(rows, said), losses, strict=True)]
    files.write_rows(output, scored, RETENTION)
    return {"retention": {task: _scores(members, params) for task, members in sorted(_by_task(scored).items())}}


def _losses(predictor: Predictor, rows: list[Row], params: EvaluateParams) -> list[float]:
    renderer = predictor.renderer
    encoded = [renderer.encode(row["prompt"], row["completion"]) for row in rows]
    found = likelihood(
        predictor.model,
        encoded,
        renderer.kind,
        renderer.tokenizer.pad_token_id,
        params.generation.token_budget,
        device.autocast("fp32"),
    )
    return [nll / len(row["completion"].encode()) for nll, row in zip(found.nll, rows, strict=True)]


def _by_task(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['source']}/{row['task']}", []).append(row)
    return found


def _scores(rows: list[Row], params: EvaluateParams) -> dict[str, Any]:
    found = means(rows, (*ROUGE_COLUMNS, *ASKED, "loss_per_byte"), params.intervals) | corpus(rows, params.intervals)
    return {name: score | {"n": len(rows)} for name, score in found.items()}
