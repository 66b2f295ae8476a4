"""Artifacts that are made for MLflow alone: all parameters, the run's origin, and the outputs of the test rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.core import files
from tasks.core.params import write_yaml
from tasks.metrics.names import HIGHER_IS_BETTER
from tasks.tracking.experiment_files import ExperimentFiles

OUTPUTS = "eval_results_table.json"
"""MLflow's own name of the table that its evaluation view opens."""
LOGGED = json.dumps([{"path": OUTPUTS, "type": "table"}])
"""Value of the tag ``mlflow.loggedArtifacts``, by which that view finds the table."""

MOST_ROWS, MOST_CHARACTERS = 500, 4000
_TITLE = 60
"""Characters of a row's text by which it is named."""


def write_files(experiment: ExperimentFiles, folder: Path) -> dict[str, Path]:
    """Write the artifacts of an experiment into ``folder``; return them by name. Equal inputs give equal bytes."""
    folder.mkdir(parents=True)
    written = {name: folder / name for name in ("params.yaml", "origin.json")}
    write_yaml(written["params.yaml"], experiment.all_params())
    files.write_json(written["origin.json"], experiment.origin())
    predictions = experiment.groups[""].get("predictions.parquet")
    if predictions is not None:
        written[OUTPUTS] = folder / OUTPUTS
        text = json.dumps(outputs_table(pq.read_table(predictions).to_pylist()), ensure_ascii=False)
        written[OUTPUTS].write_text(text, encoding="utf-8")
    return written


def outputs_table(rows: Sequence[dict[str, Any]], most_rows: int = MOST_ROWS) -> dict[str, Any]:
    """The first test rows as a table in MLflow's format: ``columns`` and ``data``.

    Its columns: ``row`` (number and beginning of the row's text, by which MLflow pairs the outputs of several runs),
    ``prompt``, ``reference`` (the first), ``output``, the scores of which more is better, without ROUGE's precision and
    recall, and ``id`` (source, row_id and template_id). Texts are cut at ``MOST_CHARACTERS``.

    Args:
        rows: of ``predictions.parquet``.
        most_rows: rows beyond that are left out; runs on the same test set thus have the same rows.
    """
    shown = rows[:most_rows]
    scores = [
        name
        for name in HIGHER_IS_BETTER
        if not name.endswith(("_precision", "_recall")) and any(row.get(name) is not None for row in shown)
    ]
    return {
        "columns": ["row", "prompt", "reference", "output", *scores, "id"],
        "data": [
            [
                f"{number}: {' '.join(str(row.get('text') or row.get('prompt') or '').split())[:_TITLE]}",
                *(_cut(text) for text in (row.get("prompt"), next(iter(row.get("references") or []), None))),
                _cut(row["completion"]),
                *(None if row.get(name) is None else round(float(row[name]), 4) for name in scores),
                "/".join(str(row[name]) for name in ("source", "row_id", "template_id")),
            ]
            for number, row in enumerate(shown, start=1)
        ],
    }


def _cut(text: str | None) -> str:
    return (text or "")[:MOST_CHARACTERS]
