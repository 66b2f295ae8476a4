"""Evaluate any model folder, such as a registered champion's: predict and score without DVC's stages."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tasks.core import device
from tasks.core.paths import Paths
from tasks.evaluate.params import ScoreParams
from tasks.evaluate.predict import predict
from tasks.evaluate.predict_params import PredictParams
from tasks.evaluate.predictions import Predictions
from tasks.evaluate.score import Pairs, score
from tasks.text.rows import RowKey, row_key
from tasks.text.training_rows import read_training_rows, text_hash


def evaluate_model(
    model: Path, paths: Paths, predict_params: PredictParams, score_params: ScoreParams, output: Path
) -> None:
    """Write the report of an earlier model, as ``predict@X`` and ``score@X`` do.

    Unlike those stages, it accepts templates that changed since the model was trained: a champion that could not be
    evaluated on new test rows could never be replaced. The model's mixture may be gone. So a row is dirty if the model
    or an ancestor was trained on its text, by the list that the model stores. No samples are drawn.

    Args:
        paths: the workspace with the evaluation set, the scoring of its sources, and perhaps the base.
        output: folder that gets ``predictions.parquet``, ``metrics.json`` and ``inference.json``.
    """
    device.use_threads(predict_params.threads)
    with tempfile.TemporaryDirectory() as folder:
        predict(model, paths.evaluation_set, predict_params, Path(folder), paths.root, champion=True)
        predictions = Predictions(Path(folder), paths.evaluation_set)
        score(predictions, paths.scorings, score_params, output, lambda test: _trained_on(model, test))


def _trained_on(model: Path, test: Pairs) -> dict[RowKey, bool] | None:
    """Whether each test row's text is one that the model or an ancestor was trained on; None if no row is known."""
    texts = set(read_training_rows(model).column("text").to_pylist())
    if not texts:
        return None
    return {row_key(row): bool(row.get("identity")) and text_hash(row["identity"]) in texts for row, _ in test}
