"""What a model could do before it was tuned: tasks that it was not tuned on, answered by every experiment alike."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks import device, files
from tasks.evaluate.groups import Groups, corpus_of, row_means
from tasks.evaluate.metrics import PREDICTIONS
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.predict import Predictor
from tasks.evaluate.report import score
from tasks.likelihood import likelihood
from tasks.metrics.names import ASKED, ROUGE_COLUMNS
from tasks.rendering import Encoded
from tasks.rows import Row

logger = logging.getLogger("tunesmith")

RETENTION = PREDICTIONS.append(pa.field("loss_per_byte", pa.float64()))
"""Columns of ``retention.parquet``: ``PREDICTIONS``, and the negative log-likelihood of the first reference in nats a
byte. Of general text, where no answer is right, that loss is what is kept or lost."""


def retained(predictor: Predictor, path: Path, params: EvaluateParams, output: Path) -> Groups:
    """Answer the rows of ``path`` (``retention.parquet`` of the evaluation set), write ``output`` (columns:
    ``RETENTION``), and give ``{"retention": {SOURCE/TASK: {metric: score}}}``; nothing where there are no such rows.

    Rows that do not fit the model's context with their reference are left out, counted and named in the log.
    """
    rows = files.read_rows(path) if path.exists() else []
    asked = _that_fit(predictor, rows)
    if not asked:
        return {}
    rows, encoded = [row for row, _ in asked], [one for _, one in asked]
    answers = predictor.answer([one.prompt for one in encoded])
    said = [{"completion": a.text, "new_tokens": a.new_tokens, "finished": a.finished} for a in answers]
    losses = _losses(predictor, rows, encoded, params)
    scored = [row | {"loss_per_byte": loss} for row, loss in zip(score(rows, said), losses, strict=True)]
    files.write_rows(output, scored, RETENTION)
    return {"retention": {task: _scores(members, params) for task, members in sorted(_by_task(scored).items())}}


def _that_fit(predictor: Predictor, rows: list[Row]) -> list[tuple[Row, Encoded]]:
    encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows]
    longest, context = predictor.longest_prompt, predictor.context
    if longest is None or context is None:
        return list(zip(rows, encoded, strict=True))
    apart = predictor.base.kind == "seq2seq"  # the prompt is in the encoder, the reference in the decoder
    room = context - (predictor.generation.max_new_tokens if apart else 0)
    found = []
    for row, one in zip(rows, encoded, strict=True):
        whole = max(len(one.prompt), len(one.completion)) if apart else len(one)
        if len(one.prompt) <= longest and whole <= max(room, longest):
            found.append((row, one))
    if len(found) < len(rows):
        sources = sorted({row["source"] for row in rows})
        logger.warning(
            "retention: %d of %d rows of %s do not fit the model's context of %d tokens and are left out",
            len(rows) - len(found),
            len(rows),
            ", ".join(sources),
            context,
        )
    return found


def _losses(predictor: Predictor, rows: list[Row], encoded: list[Encoded], params: EvaluateParams) -> list[float]:
    renderer = predictor.renderer
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
    found = row_means(rows, (*ROUGE_COLUMNS, *ASKED, "loss_per_byte"), params.intervals)
    return found | corpus_of(rows, params.intervals)
