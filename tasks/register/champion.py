"""The champion's scores on the present test rows: read from its MLflow run, or computed anew with its stored model."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.evaluate.params import resolved
from tasks.register.evaluated import REMEDY, Evaluated, read_scores, shots
from tasks.register.gate import Scores
from tasks.register.params import RegistrationParams
from tasks.register.registry import MODEL
from tasks.tracking.client import Tracker
from tasks.tracking.sync import WEIGHTS

logger = logging.getLogger("tunesmith")


def champion_scores(
    champion: ModelVersion, candidate: Evaluated, params: RegistrationParams, paths: Paths, tracker: Tracker
) -> Scores:
    """Return the champion's scores on the candidate's test rows.

    They come from the champion's MLflow run if it was evaluated on these rows in the same way. Otherwise the champion
    is evaluated now, and the result is cached in ``.tunesmith/champions``.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = _download_report(champion, tracker, Path(folder))
        if own and _comparable(own, candidate) and _has(own, params.metric):
            return read_scores(own / "predictions.parquet", params.metric)
    generation = candidate.metrics.get("generation")
    identity = {"weights": champion.tags.get(WEIGHTS), "test": candidate.test, "generation": generation}
    cached = paths.state / "champions" / files.digest(identity | {"shots": shots(candidate.metrics)})
    if not cached.exists() or not _has(cached, params.metric):
        shutil.rmtree(cached, ignore_errors=True)
        _evaluate(champion, candidate, paths, tracker, cached)
    return read_scores(cached / "predictions.parquet", params.metric)


def _download_report(champion: ModelVersion, tracker: Tracker, folder: Path) -> Path | None:
    names, run_id = {"metrics.json", "predictions.parquet"}, _run_id(champion)
    if not names <= {artifact.path for artifact in tracker.client.list_artifacts(run_id)}:
        return None
    for name in names:
        tracker.client.download_artifacts(run_id, name, str(folder))
    return folder


def _run_id(champion: ModelVersion) -> str:
    if not champion.run_id:
        raise TunesmithError(
            f"models:/{champion.name}/{champion.version}: the champion must have an MLflow run, to be compared; "
            f"this version has none. Remove its alias in MLflow, or name another `registration.alias`"
        )
    return str(champion.run_id)


def _comparable(report: Path, candidate: Evaluated) -> bool:
    metrics = files.read_json(report / "metrics.json")
    same = all(metrics.get(name) == candidate.metrics.get(name) for name in ("test_sha256", "generation"))
    return same and shots(metrics) == shots(candidate.metrics)


def _has(report: Path, metric: str) -> bool:
    """Whether the report has the score column ``metric``; reports of earlier versions may lack it."""
    return metric in pq.read_schema(report / "predictions.parquet").names


def _evaluate(champion: ModelVersion, candidate: Evaluated, paths: Paths, tracker: Tracker, cached: Path) -> None:
    """Evaluate the champion on the candidate's test rows, with the candidate's generation settings."""
    from tasks.evaluate.evaluate_model import evaluate_model

    logger.info("evaluating the champion (version %s) on the present test rows", champion.version)
    predict_params, score_params = resolved(paths.experiment(candidate.name))
    with tempfile.TemporaryDirectory(dir=paths.state) as folder, files.replacing(cached) as output:
        model = tracker.client.download_artifacts(_run_id(champion), MODEL, folder)
        output.mkdir()
        evaluate_model(Path(model), paths.evaluation_set, predict_params, score_params, output, paths.root)
        if not _comparable(output, candidate):
            raise TunesmithError(
                f"data/evaluation: champion and {candidate.name} must be evaluated on the same rows with the same "
                f"generation settings; they changed after {candidate.name} was evaluated; {REMEDY}, then register again"
            )
