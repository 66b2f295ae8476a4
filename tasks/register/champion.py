"""The champion's scores on the present test rows: completions, stored or new, scored by the present metrics."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.evaluate.params import resolved
from tasks.metrics.scoring import read_scorings
from tasks.register.evaluated import REMEDY, Evaluated, scores_of, shots
from tasks.register.params import RegistrationParams
from tasks.register.registry import MODEL
from tasks.register.scores import Scores
from tasks.text.rows import Row, row_key
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import WEIGHTS

logger = logging.getLogger("tunesmith")


def champion_scores(
    champion: ModelVersion, candidate: Evaluated, params: RegistrationParams, paths: Paths, tracker: Tracker
) -> Scores:
    """Return the champion's scores on the candidate's test rows.

    The completions come from the champion's MLflow run if it was evaluated on these rows in the same way. Otherwise
    the champion is evaluated now, and the result is cached in ``.tunesmith/champions``.

    The completions are scored at each call. Stored scores may be those of an earlier version of the metric, and they
    lack metrics that a template named later. The candidate is scored by the present metrics.

    Raises:
        TunesmithError: ``data/evaluation`` holds other rows than the candidate's, or the champion has no run.
    """
    test = _test_rows(candidate, paths)
    with tempfile.TemporaryDirectory() as folder:
        own = _download_report(champion, tracker, Path(folder))
        if own and _comparable(own, candidate):
            return _scores(own, test, params.metric, paths)
    generation = candidate.metrics.get("generation")
    identity = {"weights": champion.tags.get(WEIGHTS), "test": candidate.test, "generation": generation}
    cached = paths.state / "champions" / files.digest(identity | {"shots": shots(candidate.metrics)})
    if not cached.exists():
        _evaluate(champion, candidate, paths, tracker, cached)
    return _scores(cached, test, params.metric, paths)


def _test_rows(candidate: Evaluated, paths: Paths) -> list[Row]:
    from tasks.evaluate.report import rows_digest  # seconds to import, and most decisions need no champion's scores

    test = files.read_rows(paths.evaluation_set / "test.parquet")
    if rows_digest(test) != candidate.test:
        raise _other_rows(candidate)
    return test


def _scores(report: Path, test: list[Row], metric: str, paths: Paths) -> Scores:
    """Score the completions of ``report``, an evaluation on the rows ``test``; its own scores are not read."""
    from tasks.evaluate.report import COMPLETION, scored_rows

    predictions = files.read_rows(report / "predictions.parquet")
    completions = [{name: row[name] for name in COMPLETION} for row in predictions]
    dirty = {row_key(row): row["dirty"] for row in predictions if row.get("dirty") is not None}
    scored = scored_rows(test, completions, read_scorings(paths.scorings, test), dirty)
    return scores_of(scored, metric, paths.evaluation_set / "test.parquet")


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


def _other_rows(candidate: Evaluated) -> TunesmithError:
    return TunesmithError(
        f"data/evaluation: champion and {candidate.name} must be evaluated on the same rows with the same generation "
        f"settings; they changed after {candidate.name} was evaluated; {REMEDY}, then register again"
    )


def _evaluate(champion: ModelVersion, candidate: Evaluated, paths: Paths, tracker: Tracker, cached: Path) -> None:
    """Evaluate the champion on the candidate's test rows, with the candidate's generation settings."""
    from tasks.evaluate.evaluate_model import evaluate_model

    if not tracker.client.list_artifacts(_run_id(champion), MODEL):
        raise TunesmithError(
            f"models:/{champion.name}/{champion.version}: the champion's model must be among the artifacts of its "
            f"MLflow run {champion.run_id}; it is missing. Copy the run's folder from the old workspace or a backup "
            "into mlartifacts, or remove the alias in MLflow"
        )
    logger.info("evaluating the champion (version %s) on the present test rows", champion.version)
    predict_params, score_params = resolved(paths.experiment(candidate.name))
    with tempfile.TemporaryDirectory(dir=paths.state) as folder, files.replacing(cached) as output:
        model = tracker.client.download_artifacts(_run_id(champion), MODEL, folder)
        output.mkdir()
        evaluate_model(Path(model), paths, predict_params, score_params, output)
        if not _comparable(output, candidate):
            raise _other_rows(candidate)
