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
from tasks.evaluate.score import score


def evaluate_model(
    model: Path, paths: Paths, predict_params: PredictParams, score_params: ScoreParams, output: Path
) -> None:
    """Write the report of an earlier model, as ``predict@X`` and ``score@X`` do.

    Unlike those stages, it accepts templates that changed since the model was trained: a champion that could not be
    evaluated on new test rows could never be replaced. The model's mixture may be gone, so clean and dirty rows are not
    scored separately. No samples are drawn.

    Args:
        paths: of the workspace with the evaluation set, the scoring of its sources, and perhaps the base.
        output: folder that gets ``predictions.parquet``, ``metrics.json`` and ``inference.json``.
    """
    device.use_threads(predict_params.threads)
    with tempfile.TemporaryDirectory() as folder:
        predict(model, paths.evaluation_set, predict_params, Path(folder), paths.root, champion=True)
        score(Predictions(Path(folder), paths.evaluation_set), paths.scorings, score_params, output)
