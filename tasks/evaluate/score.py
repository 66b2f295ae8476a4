"""``score@X``: predictions → ``reports/experiments/X/``. No model is loaded, so a changed metric generates nothing."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core import files
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.evaluate.groups import Groups, dirty_rows, groups, task_scores
from tasks.evaluate.metrics import PREDICTIONS, SAMPLES, Score, not_scored, sample_spread, summarise
from tasks.evaluate.params import ScoreParams
from tasks.evaluate.predictions import CANARY, INFERENCE, Predictions
from tasks.evaluate.report import COMPLETION, scored_rows, write_report
from tasks.evaluate.validation import LOSSES, losses_by_task, row_losses, validation_metrics
from tasks.metrics.scoring import Scorings, read_scorings
from tasks.text.rows import Row, RowKey, by_task

logger = logging.getLogger("tunesmith")

Pairs = list[tuple[Row, Row]]
"""(row of the evaluation set, its prediction); see ``Predictions.read``."""

Dirty = Mapping[RowKey, bool]
"""Test row → whether it counts as seen in training."""

RETENTION = PREDICTIONS.append(pa.field("loss_per_byte", pa.float64()))
"""Columns of ``retention.parquet``: ``PREDICTIONS``, and the negative log-likelihood of the first reference in nats per
byte. For general text there is no right completion, so this loss measures what is kept or lost."""


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Score the predictions of the experiment ``name``."""
    params = load(ScoreParams, paths.experiment(name) / "score.yaml")
    predictions = Predictions(paths.predictions(name), paths.evaluation_set)
    dirty = paths.mixture(predictions.about()["mixture"]) / "dirty.parquet"
    with stage.outputs(paths.report(name)) as (report,):
        score(predictions, paths.scorings, params, report, lambda test: dirty_rows(dirty, test))


def score(
    predictions: Predictions,
    scoring: Path,
    params: ScoreParams,
    output: Path,
    mark: Callable[[Pairs], Dirty | None] | None = None,
) -> None:
    """Write ``predictions.parquet``, ``validation.parquet``, ``metrics.json``, ``inference.json`` and ``canary.json``.

    ``samples.parquet``, ``retention.parquet`` and ``retired.parquet`` are added if there are sampled completions,
    retention rows and rows of earlier test sets.

    Args:
        predictions: the output of ``predict``.
        scoring: folder ``data/scoring``.
        output: folder of the report.
        mark: gives, for the test rows and their predictions, whether each row counts as seen in training, or None if
            that is not known. Without it, clean and dirty rows are not scored separately.
    """
    output.mkdir(parents=True, exist_ok=True)
    about, test = predictions.about(), predictions.read("test.parquet", "test")
    kept = predictions.read("retention.parquet", "retention")
    earlier = predictions.read("retired.parquet", "retired")
    scorings = read_scorings(scoring, (row for row, _ in (*test, *kept, *earlier)))
    marked = mark(test) if mark is not None else None
    scored = _scored(test, scorings, marked)
    validation = predictions.read("validation.parquet", "validation")
    losses = row_losses(validation)
    files.write_rows(output / "validation.parquet", losses, LOSSES)
    metrics = summarise(scored, params.intervals) | validation_metrics(validation)
    samples = _samples(predictions, scorings, about["sampling"], marked, output)
    by_group = groups(scored, params.intervals, about, marked) | _retention(kept, scorings, params, output)
    by_group |= _retired(earlier, scorings, params, output) | losses_by_task(losses)
    model = about["model"] | {"samples": samples}
    generation = about["generation"]
    write_report(output, about["experiment"], about["key"], scored, metrics, by_group, generation, model)
    for name in (INFERENCE, CANARY):
        if (predictions.folder / name).exists():  # a champion that is evaluated again has no canary
            shutil.copyfile(predictions.folder / name, output / name)
    _log(about["experiment"], scored, metrics)


def _log(experiment: str, scored: list[Row], metrics: dict[str, Score]) -> None:
    for metric, rows in not_scored(scored).items():
        logger.warning(
            "%s: %s: no reference of %d of %d rows has a token to score", experiment, metric, rows, len(scored)
        )
    rouge = metrics["rouge1_f"]["value"] if "rouge1_f" in metrics else None
    logger.info("%s: ROUGE-1 F1 %s on %d rows", experiment, "n/a" if rouge is None else f"{rouge:.4f}", len(scored))


def _scored(pairs: Pairs, scorings: Scorings, dirty: Dirty | None = None) -> list[Row]:
    """Score (row, prediction) pairs; see ``scored_rows``."""
    completions = [{name: one[name] for name in COMPLETION} for _, one in pairs]
    return scored_rows([row for row, _ in pairs], completions, scorings, dirty)


def _samples(
    predictions: Predictions, scorings: Scorings, sampling: dict[str, Any], dirty: Dirty | None, output: Path
) -> dict[str, Any] | None:
    """Score the sampled completions, write them to ``samples.parquet``, and return the spread of their scores.

    None without sampled completions.
    """
    pairs = predictions.read("samples.parquet", "test")
    if not pairs:
        return None
    by_sample: dict[int, Pairs] = {}
    for row, drawn in pairs:
        by_sample.setdefault(drawn["sample"], []).append((row, drawn))
    samples = {number: _scored(members, scorings, dirty) for number, members in by_sample.items()}
    rows = [{"sample": number, **row} for number, scored in samples.items() for row in scored]
    files.write_rows(output / "samples.parquet", rows, SAMPLES)
    return {**sampling, "scores": sample_spread(list(samples.values()))}


def _retention(pairs: Pairs, scorings: Scorings, params: ScoreParams, output: Path) -> Groups:
    """Score the completions of the retention rows and write them to ``retention.parquet`` (columns: ``RETENTION``).

    Returns:
        ``{"retention": {SOURCE/TASK: {metric: score}}}``; empty without retention rows.
    """
    if not pairs:
        return {}
    losses = [prediction["loss_per_byte"] for _, prediction in pairs]
    scored = [row | {"loss_per_byte": loss} for row, loss in zip(_scored(pairs, scorings), losses, strict=True)]
    files.write_rows(output / "retention.parquet", scored, RETENTION)
    return {
        "retention": {
            task: task_scores(rows, params.intervals, "loss_per_byte") for task, rows in sorted(by_task(scored).items())
        }
    }


def _retired(pairs: Pairs, scorings: Scorings, params: ScoreParams, output: Path) -> Groups:
    """Score the completions of rows of earlier test sets.

    They are written to ``retired.parquet`` (columns: ``PREDICTIONS``).

    Returns:
        ``{"retired": {SOURCE/TASK: {metric: score}}}``; empty if there are no such rows.
    """
    if not pairs:
        return {}
    scored = _scored(pairs, scorings)
    files.write_rows(output / "retired.parquet", scored, PREDICTIONS)
    return {"retired": {task: task_scores(rows, params.intervals) for task, rows in sorted(by_task(scored).items())}}


if __name__ == "__main__":
    experiment = sys.argv[1]
    main(f"score@{experiment}", lambda stage: run(experiment, Paths.here(), stage))
