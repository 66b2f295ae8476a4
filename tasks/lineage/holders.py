"""Files that hold a row: in the workspace, in DVC's cache, and among the artifacts of MLflow."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from mlflow.entities import ViewType

from tasks.core.paths import folder_of_uri
from tasks.lineage.traces import Traces, texts_in
from tasks.serving.package import MODEL
from tasks.tracking.client import Tracker

_SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules"})
_CODE = f"{MODEL}/code"
"""Folder of a registered model with this package's code."""

_TEXTS = ("prompt", "completion", "text", "source_file")
"""A table with ``row_id`` holds the rows' texts if it has one of these columns; raw rows have ``source_file``."""

_WEIGHTS = (".safetensors", ".gguf", ".pt", ".lock")


def files_in(folder: Path, excluded: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below ``folder``, except for weights, code of packages, and the folders ``excluded``."""
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and Path(top) / name not in excluded)
        yield from (Path(top) / name for name in sorted(names) if not name.endswith(_WEIGHTS))


def holds(path: Path, traces: Traces) -> bool:
    """Whether a file holds one of the rows: a table by its ids or texts, any other file by its bytes."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return _table_holds(path, traces)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(piece) >= 0 for piece in traces.pieces)


def _table_holds(path: Path, traces: Traces) -> bool:
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid:  # half a file of a process that was killed
        return False
    texts_of_rows = [name for name in _TEXTS if name in schema.names and schema.field(name).type == pa.string()]
    if "row_id" in schema.names:
        if not texts_of_rows:  # such as a model's list of training rows, which has hashes of their texts
            return False
        ids = pq.read_table(path, columns=["row_id"]).column("row_id")
        return bool(pc.any(pc.is_in(ids, pa.array(sorted(traces.row_ids)))).as_py())
    pieces = [piece.decode() for piece in traces.pieces]
    columns = pq.read_table(path).columns
    return any(
        pc.any(pc.match_substring(texts, piece)).as_py()
        for column in columns
        for texts in texts_in(column)
        for piece in pieces
    )


def artifacts_that_hold(tracker: Tracker, traces: Traces) -> Iterator[tuple[str, str, Path | None]]:
    """Artifacts of MLflow's runs that hold a row, also of deleted runs.

    Yields:
        (run id, path of the artifact, its path on this machine; None if MLflow keeps it elsewhere)
    """
    experiments = tracker.client.search_experiments(view_type=ViewType.ALL)
    ids = [experiment.experiment_id for experiment in experiments]
    with tempfile.TemporaryDirectory() as temporary:
        for run in tracker.client.search_runs(ids, run_view_type=ViewType.ALL, max_results=50_000):
            here = folder_of_uri(run.info.artifact_uri)
            for path in _artifacts(tracker, run.info.run_id, None):
                if here is not None:
                    file = here / path
                else:
                    file = Path(tracker.client.download_artifacts(run.info.run_id, path, temporary))
                if holds(file, traces):
                    yield run.info.run_id, path, file if here else None
                if here is None:
                    file.unlink()


def _artifacts(tracker: Tracker, run_id: str, folder: str | None) -> Iterator[str]:
    for artifact in tracker.client.list_artifacts(run_id, folder):
        if artifact.is_dir and artifact.path != _CODE:
            yield from _artifacts(tracker, run_id, artifact.path)
        elif not (artifact.is_dir or artifact.path.endswith(_WEIGHTS)):
            yield artifact.path
