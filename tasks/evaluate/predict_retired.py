"""Completions for the rows of earlier test sets: a second opinion that decides nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from tasks.core import files
from tasks.evaluate.predict_params import PredictParams
from tasks.evaluate.predictions import RETIRED, completion_columns, row_columns
from tasks.evaluate.shots import choose, prompts, rows_with_examples
from tasks.inference.predict import Predictor
from tasks.text.rows import Row

logger = logging.getLogger("tunesmith")


def predict_retired(predictor: Predictor, path: Path, examples: list[Row], params: PredictParams, output: Path) -> None:
    """Generate for the rows of earlier test sets as for the test rows; write ``output/retired.parquet``.

    The file has the columns ``RETIRED``. Without such rows, no file is written. A row is left out if its prompt does
    not fit the model's context, or if its task now has too few training rows for the examples. The log tells how many.
    """
    rows = files.read_rows(path) if path.exists() else []
    if not rows:
        return
    longest = predictor.longest_prompt
    numbers = rows_with_examples(rows, examples, params.shots)
    shown = [rows[number] for number in numbers]
    encoded, _ = prompts(predictor.renderer, shown, choose(shown, examples, params.shots, params.shots_seed), longest)
    fitting = {
        number: prompt
        for number, prompt in zip(numbers, encoded, strict=True)
        if longest is None or len(prompt) <= longest
    }
    if len(fitting) < len(rows):
        logger.warning(
            "retired: %d of %d rows are left out: %d do not fit the model's context of %s tokens, and the tasks of %d "
            "have fewer than %d training rows as examples (evaluation.shots)",
            len(rows) - len(fitting),
            len(rows),
            len(numbers) - len(fitting),
            predictor.context,
            len(rows) - len(numbers),
            params.shots,
        )
    if not fitting:
        return
    completions = completion_columns(predictor.generate_encoded(list(fitting.values())))
    columns = zip(row_columns([rows[number] for number in fitting], list(fitting)), completions, strict=True)
    files.write_rows(output / "retired.parquet", [row | completion for row, completion in columns], RETIRED)
