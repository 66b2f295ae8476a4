"""Generate completions for the retention rows: tasks that the model was not tuned on, and may have lost."""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.core import files
from tasks.evaluate.predictions import RETAINED, completion_columns, row_columns
from tasks.inference.predict import Predictor
from tasks.model.encoded import Encoded
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")


def predict_retention(predictor: Predictor, path: Path, output: Path) -> None:
    """Generate for the retention rows and write ``output/retention.parquet`` (columns: ``RETAINED``).

    Without rows, no file is written. Rows that do not fit the model's context together with their reference are left
    out; the log gives their number.

    Args:
        path: ``retention.parquet`` of the evaluation set.
    """
    rows = files.read_rows(path) if path.exists() else []
    encoded = [predictor.renderer.encode_row(row, last=True) for row in rows]
    fitting = [number for number, one in enumerate(encoded) if fits(predictor, one)]
    if len(fitting) < len(rows):
        logger.warning(
            "retention: %d of %d rows of %s do not fit the model's context of %d tokens and are left out",
            len(rows) - len(fitting),
            len(rows),
            ", ".join(sorted({row["source"] for row in rows})),
            predictor.context,
        )
    if not fitting:
        return
    kept, encoded = [rows[number] for number in fitting], [encoded[number] for number in fitting]
    completions = completion_columns(predictor.generate_encoded([one.prompt for one in encoded]))
    losses = [{"loss_per_byte": loss} for loss in _losses(kept, predictor.likelihood(encoded).nll)]
    columns = zip(row_columns(kept, fitting), completions, losses, strict=True)
    predictions = [row | completion | loss for row, completion, loss in columns]
    files.write_rows(output / "retention.parquet", predictions, RETAINED)


def fits(predictor: Predictor, row: Encoded) -> bool:
    """Whether prompt, completion and reference fit the model's context."""
    longest = predictor.longest_prompt
    if longest is None:
        return True
    if predictor.base.kind == "seq2seq":  # the prompt is in the encoder, the reference in the decoder
        return max(len(row.prompt), len(row.completion)) <= longest
    return len(row.prompt) <= longest and len(row) <= longest + predictor.generation.max_new_tokens


def _losses(rows: list[Row], nll: list[float]) -> list[float]:
    return [loss / len(row["completion"].encode()) for row, loss in zip(rows, nll, strict=True)]
