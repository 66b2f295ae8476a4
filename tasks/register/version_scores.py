"""Score a registered version on the current test rows with the current metrics, from stored or new completions."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.evaluate.params import resolved
from tasks.gate.evaluated import REMEDY, Evaluated, scores_of, shots
from tasks.gate.scores import Scores
from tasks.metrics.scoring import read_scorings
from tasks.model.signatures import verify
from tasks.serving.package import MODEL
from tasks.text.rows import Row, row_key
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import NAME, WEIGHTS

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Evaluation:
    """The test rows and the settings of an evaluation; only equal ones are comparable.

    Attributes:
        experiment: whose resolved parameters are the settings.
        test: digest of the test rows (``test_sha256`` of a report).
        generation: settings of generation, as a report holds them.
        shots: number of examples per prompt.
    """

    experiment: str
    test: str
    generation: dict[str, Any] | None
    shots: int

    @classmethod
    def of(cls, reference: Evaluated) -> Evaluation:
        """The evaluation of an experiment's report."""
        return cls(reference.name, reference.test, reference.metrics.get("generation"), shots(reference.metrics))

    def matches(self, report: Path) -> bool:
        """Whether the folder ``report`` holds such an evaluation."""
        metrics = files.read_json(report / "metrics.json")
        same = metrics.get("test_sha256") == self.test and metrics.get("generation") == self.generation
        return same and shots(metrics) == self.shots


def version_scores(version: ModelVersion, reference: Evaluated, metric: str, paths: Paths, tracker: Tracker) -> Scores:
    """Return the version's scores in ``metric`` on the test rows of ``reference``.

    The completions are scored at each call. Stored scores may be those of an earlier version of the metric, and they
    lack metrics that a template named later. The reference is scored by the present metrics.

    Raises:
        TunesmithError: as ``version_report``, or ``data/evaluation`` holds other rows than the reference's.
    """
    evaluation = Evaluation.of(reference)
    test = _test_rows(evaluation, paths)
    return _scores(version_report(version, evaluation, paths, tracker), test, metric, paths)


def version_report(version: ModelVersion, evaluation: Evaluation, paths: Paths, tracker: Tracker) -> Path:
    """Return the folder with ``metrics.json`` and ``predictions.parquet`` of the version.

    They come from its MLflow run if it was evaluated in the same way. Otherwise the version generates now for
    ``data/evaluation``. The folder is kept in ``.tunesmith/versions``.

    Raises:
        TunesmithError: the version has no run, or its run has no model.
    """
    identity = {"weights": version.tags.get(WEIGHTS), "test": evaluation.test, "generation": evaluation.generation}
    cached = paths.state / "versions" / files.digest(identity | {"shots": evaluation.shots})
    if cached.exists():
        return cached
    with tempfile.TemporaryDirectory() as folder:
        own = _download_report(version, tracker, Path(folder))
        if own and evaluation.matches(own):
            with files.replacing(cached) as output:
                shutil.copytree(own, output)
            return cached
    _evaluate(version, evaluation, paths, tracker, cached)
    return cached


def evaluated_version(
    version: ModelVersion, reference: Evaluated, metric: str, paths: Paths, tracker: Tracker
) -> Evaluated:
    """A registered version as a reference, on the test rows of ``reference``, also if the workspace lacks its files.

    Raises:
        TunesmithError: as ``version_scores``.
    """
    scores = version_scores(version, reference, metric, paths, tracker)
    report = version_report(version, Evaluation.of(reference), paths, tracker)
    with tempfile.TemporaryDirectory() as folder:
        manifest = tracker.client.download_artifacts(_run_id(version), f"{MODEL}/manifest.json", folder)
        content = files.read_json(Path(manifest))
    return Evaluated(str(version.tags.get(NAME)), content, files.read_json(report / "metrics.json"), scores, report)


def _test_rows(evaluation: Evaluation, paths: Paths) -> list[Row]:
    from tasks.evaluate.report import rows_digest  # seconds to import, and most decisions need no champion's scores

    test = files.read_rows(paths.evaluation_set / "test.parquet")
    if rows_digest(test) != evaluation.test:
        raise _other_rows(evaluation)
    return test


def _scores(report: Path, test: list[Row], metric: str, paths: Paths) -> Scores:
    return scores_of(rescored(report, test, paths), metric, paths.evaluation_set / "test.parquet")


def rescored(report: Path, test: list[Row], paths: Paths) -> list[Row]:
    """Score the completions of ``report``, an evaluation on the rows ``test``; its own scores are not read.

    Returns:
        Rows as by ``tasks.evaluate.report.scored_rows``.
    """
    from tasks.evaluate.report import COMPLETION, scored_rows

    predictions = files.read_rows(report / "predictions.parquet")
    completions = [{name: row[name] for name in COMPLETION} for row in predictions]
    dirty = {row_key(row): row["dirty"] for row in predictions if row.get("dirty") is not None}
    return scored_rows(test, completions, read_scorings(paths.scorings, test), dirty)


def _download_report(version: ModelVersion, tracker: Tracker, folder: Path) -> Path | None:
    names, run_id = {"metrics.json", "predictions.parquet"}, _run_id(version)
    if not names <= {artifact.path for artifact in tracker.client.list_artifacts(run_id)}:
        return None
    for name in names:
        tracker.client.download_artifacts(run_id, name, str(folder))
    return folder


def _run_id(version: ModelVersion) -> str:
    if not version.run_id:
        raise TunesmithError(
            f"models:/{version.name}/{version.version}: a version must have an MLflow run, to be compared; "
            f"this one has none. Remove its alias in MLflow, or name another `registration.alias`"
        )
    return str(version.run_id)


def _other_rows(evaluation: Evaluation) -> TunesmithError:
    name = evaluation.experiment
    return TunesmithError(
        f"data/evaluation: a registered version and {name} must be evaluated on the same rows with the same "
        f"generation settings; rows or settings changed after {name} was evaluated; {REMEDY}"
    )


def _evaluate(version: ModelVersion, evaluation: Evaluation, paths: Paths, tracker: Tracker, cached: Path) -> None:
    """Evaluate the version on ``data/evaluation``, which must hold the rows of ``evaluation``, with its settings."""
    from tasks.evaluate.evaluate_model import evaluate_model

    if not tracker.client.list_artifacts(_run_id(version), MODEL):
        raise TunesmithError(
            f"models:/{version.name}/{version.version}: the version's model must be among the artifacts of its "
            f"MLflow run {version.run_id}; it is missing. Copy the run's folder from the old workspace or a backup "
            "into mlartifacts, or remove the alias in MLflow"
        )
    logger.info("evaluating version %s of %s on the present test rows", version.version, version.name)
    predict_params, score_params = resolved(paths.experiment(evaluation.experiment))
    with tempfile.TemporaryDirectory(dir=paths.state) as folder, files.replacing(cached) as output:
        model = Path(tracker.client.download_artifacts(_run_id(version), MODEL, folder))
        verify(model, version.tags.get(WEIGHTS))
        output.mkdir()
        evaluate_model(model, paths, predict_params, score_params, output)
        if not evaluation.matches(output):
            raise _other_rows(evaluation)
