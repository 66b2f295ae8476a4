"""An experiment as the gate reads it: its manifest, its report, and one score per test row."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.gate.looks import RowSet
from tasks.gate.scores import Scores
from tasks.metrics.names import HIGHER_IS_BETTER, OF_EVERY_ROW
from tasks.text.rows import ROW_KEY, Row, RowKey, group_key, row_key
from tasks.tracking.experiment_files import Trained
from tasks.tuning.params import load_params
from tasks.tuning.untrained import is_trained

logger = logging.getLogger("tunesmith")

REMEDY = "run `tunesmith run` (or `dvc repro`) to build it"


@dataclass(frozen=True)
class Evaluated(Trained):
    """A model with its scores on the test rows.

    Attributes:
        metrics: ``metrics.json`` of its report.
        report: the folder of the report, with ``predictions.parquet``.
    """

    metrics: dict[str, Any]
    scores: Scores
    report: Path

    @property
    def test(self) -> str:
        return str(self.metrics["test_sha256"])

    def test_rows(self) -> RowSet:
        """The test rows, by which decisions are counted."""
        return RowSet.of(self.test, self.scores.rows())


def read(name: str, metric: str, paths: Paths) -> Evaluated:
    """Read a trained and evaluated experiment, with its scores in ``metric``.

    Raises:
        TunesmithError: the model or its report is missing or stale, or a row has no score.
    """
    manifest, metrics = paths.model(name) / "manifest.json", paths.report(name) / "metrics.json"
    for path in (manifest, metrics):
        if not path.exists():
            raise TunesmithError(f"{path}: no such file; {REMEDY}")
    trained, scored = files.read_json(manifest), files.read_json(metrics)
    if trained["key"] != scored["key"]:
        raise TunesmithError(
            f"{metrics}: must score the model in {manifest.parent}; its key is that of another model; {REMEDY}"
        )
    resolved = paths.experiment(name) / "train.yaml"
    if resolved.exists() and load_params(resolved).model_dump(exclude_none=True) != trained["params"]:
        raise TunesmithError(f"{manifest}: must be trained with the parameters of {resolved}; they changed; {REMEDY}")
    scores = read_scores(paths.report(name) / "predictions.parquet", metric)
    if not is_trained(trained["method"]):
        # Its report marks the rows that its mixture makes dirty, but an untuned model has seen none of them.
        scores = replace(scores, dirty=frozenset())
    return Evaluated(name, trained, scored, scores, paths.report(name))


def shots(metrics: dict[str, Any]) -> int:
    """Number of examples per prompt in an evaluation (``metrics.json``); 0 for reports of earlier versions."""
    return int(((metrics.get("model") or {}).get("shots") or {}).get("count", 0))


def read_scores(path: Path, metric: str) -> Scores:
    """Read the column ``metric`` of a ``predictions.parquet``, with the groups and the dirty rows.

    A report of an earlier version lacks these two columns: each row is a group then, and no row is known to be dirty.

    Raises:
        TunesmithError: there is no such file or column, a row has no score, or a row occurs twice.
    """
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; {REMEDY}")
    table = pq.read_table(path)
    if metric not in table.column_names:
        known = [name for name in HIGHER_IS_BETTER if name in table.column_names]
        raise TunesmithError(
            f"params/registration.yaml: the metric must be a score column of {path}; it is {metric!r}; "
            f"there are: {', '.join(known)}"
        )
    marks = [name for name in ("group", "dirty") if name in table.column_names]
    return scores_of(table.select([*ROW_KEY, metric, *marks]).to_pylist(), metric, path)


def scores_of(rows: list[Row], metric: str, path: Path) -> Scores:
    """Return the scores ``metric`` of ``rows``, with their groups and the dirty ones.

    Rows whose references have no word are left out for ROUGE and BLEU: no system has a score there.

    Args:
        path: file of the rows, for errors.

    Raises:
        TunesmithError: a row has no score, or a row occurs twice.
    """
    scores: dict[RowKey, float | None] = {row_key(row): row[metric] for row in rows}
    if len(scores) != len(rows):
        raise TunesmithError(
            f"{path}: each test row ({', '.join(ROW_KEY)}) must occur once; one occurs twice; {REMEDY} again"
        )
    if metric in OF_EVERY_ROW:
        scores = _with_words(path, metric, scores)
    if missing := [row for row, score in scores.items() if score is None or math.isnan(score)]:
        raise TunesmithError(
            f"{path}: every row needs a {metric}; {len(missing)} have none, the first is {missing[0][1]}; "
            "choose another metric in params/registration.yaml (registration.metric or the rule's measure)"
        )
    values = {key: float(score) for key, score in scores.items() if score is not None}
    return Scores(
        values=values,
        groups={row_key(row): group_key(row) for row in rows if row_key(row) in values},
        dirty=frozenset(row_key(row) for row in rows if row.get("dirty") and row_key(row) in values),
    )


def _with_words(path: Path, metric: str, scores: dict[RowKey, float | None]) -> dict[RowKey, float | None]:
    """The rows whose references have a word for ``metric`` to compare; all rows if none has."""
    known = {row: score for row, score in scores.items() if score is not None}
    if known and len(known) < len(scores):
        logger.warning(
            "%s: %d of %d test rows have no %s, since none of their references has a word; the gate leaves them out",
            path,
            len(scores) - len(known),
            len(scores),
            metric,
        )
    return {**known} or scores
