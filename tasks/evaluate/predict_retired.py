"""Completions for the rows of earlier test sets: a second opinion that decides nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.core import files
from tasks.evaluate.predict_params import PredictParams
from tasks.evaluate.predictions import RETIRED, completion_columns, row_columns
from tasks.evaluate.shots import choose, prompts
from tasks.inference.predict import Predictor
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")


def predict_retired(predictor: Predictor, path: Path, examples: list[Row], params: PredictParams, output: Path) -> None:
    """Generate for the rows of ``path`` (``retired.parquet`` of the evaluation set) as for the test rows, and write
    ``output/retired.parquet`` (columns: ``RETIRED``); no file where there are no such rows.

    Rows whose prompt does not fit the model's context are left out. The log names their number.
    """
    rows = files.read_rows(path) if path.exists() else []
    if not rows:
        return
    longest = predictor.longest_prompt
    encoded, _ = prompts(predictor.renderer, rows, choose(rows, examples, params.shots, params.shots_seed), longest)
    fitting = [number for number, prompt in enumerate(encoded) if longest is None or len(prompt) <= longest]
    if len(fitting) < len(rows):
        logger.warning(
            "retired: %d of %d rows do not fit the model's context of %s tokens and are left out",
            len(rows) - len(fitting),
            len(rows),
            predictor.context,
        )
    completions = completion_columns(predictor.generate_encoded([encoded[number] for number in fitting]))
    columns = zip(row_columns([rows[number] for number in fitting], fitting), completions, strict=True)
    files.write_rows(output / "retired.parquet", [row | completion for row, completion in columns], RETIRED)
