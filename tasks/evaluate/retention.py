"""What a model could do before it was tuned: tasks that it was not tuned on, answered by every experiment alike."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core import files
from tasks.evaluate.groups import Groups, corpus_of, row_means
from tasks.evaluate.metrics import PREDICTIONS
from tasks.evaluate.params import EvaluateParams
from tasks.evaluate.report import said, score
from tasks.inference.predict import Predictor
from tasks.metrics.names import ASKED, ROUGE_COLUMNS
from tasks.model.rendering import Encoded
from tasks.text.rows import Row, by_task

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
    answers = score(rows, said(predictor.answer([one.prompt for one in encoded])))
    nll = predictor.likelihood(encoded).nll
    sizes = [len(row["completion"].encode()) for row in rows]
    scored = [row | {"loss_per_byte": n / size} for row, n, size in zip(answers, nll, sizes, strict=True)]
    files.write_rows(output, scored, RETENTION)
    return {"retention": {task: _scores(members, params) for task, members in sorted(by_task(scored).items())}}


def _that_fit(predictor: Predictor, rows: list[Row]) -> list[tuple[Row, Encoded]]:
    encoded = [predictor.renderer.encode(row["prompt"], row["completion"]) for row in rows]
    longest = predictor.longest_prompt
    if longest is None:
        return list(zip(rows, encoded, strict=True))
    found = []
    for row, one in zip(rows, encoded, strict=True):
        if predictor.base.kind == "seq2seq":  # the prompt is in the encoder, the reference in the decoder
            fits = max(len(one.prompt), len(one.completion)) <= longest
        else:
            fits = len(one.prompt) <= longest and len(one) <= longest + predictor.generation.max_new_tokens
        if fits:
            found.append((row, one))
    if len(found) < len(rows):
        sources = sorted({row["source"] for row in rows})
        logger.warning(
            "retention: %d of %d rows of %s do not fit the model's context of %d tokens and are left out",
            len(rows) - len(found),
            len(rows),
            ", ".join(sources),
            predictor.context,
        )
    return found


def _scores(rows: list[Row], params: EvaluateParams) -> dict[str, Any]:
    found = row_means(rows, (*ROUGE_COLUMNS, *ASKED, "loss_per_byte"), params.intervals)
    return found | corpus_of(rows, params.intervals)
