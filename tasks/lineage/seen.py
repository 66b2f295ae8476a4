"""Which models saw a row in training: the registered versions, and the models of the workspace."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.compare.collect import folders
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.serving.package import MODEL
from tasks.text.training_rows import NAME as TRAINING_ROWS
from tasks.text.training_rows import SCHEMA, read_training_rows
from tasks.tracking.client import Tracker
from tasks.tracking.tag_names import KEY, NAME


@dataclass(frozen=True)
class TrainedModel:
    """A model with the rows that it and its ancestors were trained on.

    Attributes:
        address: ``models:/NAME/VERSION``, or ``models/X`` in the workspace.
        aliases: of a version.
        rows: ``training_rows.parquet`` (columns: ``tasks.text.training_rows.SCHEMA``).
        base: address of the version that it was tuned from; None for other base models.
        run_id: MLflow's run of a version; None in the workspace.
    """

    address: str
    experiment: str
    aliases: tuple[str, ...]
    rows: pa.Table
    base: str | None
    run_id: str | None


def trained_models(name: str, paths: Paths, tracker: Tracker) -> Iterator[TrainedModel]:
    """All versions of the registered model ``name``, then the workspace's models that have no registered version."""
    keys = set()
    for version in sorted(tracker.client.search_model_versions(f"name = '{name}'"), key=lambda one: int(one.version)):
        if not version.run_id:  # somebody made it in MLflow by hand
            continue
        keys.add(version.tags.get(KEY))
        full = tracker.client.get_model_version(name, version.version)  # a search leaves the aliases out
        address = f"models:/{name}/{version.version}"
        rows, manifest = _of_run(tracker.client, str(version.run_id))
        experiment, aliases = str(version.tags.get(NAME)), tuple(full.aliases)
        yield TrainedModel(address, experiment, aliases, rows, _base_of(manifest), str(version.run_id))
    for experiment in sorted(folders(paths.root / "models")):
        path = paths.model(experiment) / "manifest.json"
        if path.exists() and (manifest := files.read_json(path))["key"] not in keys:
            rows = read_training_rows(paths.model(experiment))
            if rows.num_rows:
                yield TrainedModel(f"models/{experiment}", experiment, (), rows, _base_of(manifest), None)


def seen_by(row_ids: Collection[str], models: Iterator[TrainedModel]) -> list[dict[str, Any]]:
    """The models that saw at least one of the rows.

    Returns:
        Per model ``model`` (its address), ``experiment``, ``aliases``, ``base``, ``run_id``, ``rows`` (number of these
        rows), ``own`` (whether the model itself was trained on one) and ``through_base`` (whether an ancestor was).
    """
    wanted = pa.array(sorted(row_ids))
    seen = []
    for model in models:
        table = model.rows.filter(pc.is_in(model.rows.column("row_id"), wanted))
        if table.num_rows:
            seen.append(
                {
                    "model": model.address,
                    "experiment": model.experiment,
                    "aliases": list(model.aliases),
                    "base": model.base,
                    "run_id": model.run_id,
                    "rows": len(set(table.column("row_id").to_pylist())),
                    "own": 0 in table.column("generation").to_pylist(),
                    "through_base": any(generation > 0 for generation in table.column("generation").to_pylist()),
                }
            )
    return seen


def parts_of(row_id: str, paths: Paths) -> list[dict[str, Any]]:
    """The parts of the present splits that hold the row: ``source`` and ``part``."""
    parts = []
    for source in sorted(folders(paths.splits)):
        for path in sorted(paths.split(source).glob("*.parquet")):
            if "row_id" not in pq.read_schema(path).names:
                continue
            ids = pq.read_table(path, columns=["row_id"]).column("row_id")
            if pc.is_in(pa.array([row_id]), ids.combine_chunks())[0].as_py():
                parts.append({"source": source, "part": path.stem})
    return parts


def rows_of_file(file: str, paths: Paths) -> dict[str, str]:
    """The rows of a source file, as the present raw data has them: row_id → source.

    Args:
        file: path of the file in ``data/sources/NAME/``, or its path from the workspace, with or without its ending.

    Raises:
        TunesmithError: no row of the workspace comes from this file.
    """
    given = Path(file)
    rows: dict[str, str] = {}
    known: set[str] = set()
    for raw in sorted((paths.root / "data/raw").glob("*.parquet")):
        table = pq.read_table(raw, columns=["row_id", "source_file"])
        for row_id, name in zip(
            table.column("row_id").to_pylist(), table.column("source_file").to_pylist(), strict=True
        ):
            address = f"data/sources/{raw.stem}/{name}"
            known.add(address)
            if given.as_posix() in (name, address) or given.with_suffix("").as_posix() in (name, address):
                rows[row_id] = raw.stem
    if not rows:
        raise TunesmithError(
            f"{file}: no row of the workspace comes from this file; there are: {', '.join(sorted(known)) or 'none'}"
        )
    return rows


def rows_of_run(client: Any, run_id: str) -> pa.Table:
    """The training rows (columns: ``SCHEMA``) of the model in an MLflow run; empty if it has no list of them."""
    return _of_run(client, run_id)[0]


def _of_run(client: Any, run_id: str) -> tuple[pa.Table, dict[str, Any]]:
    """The training rows and the manifest of the model in a run; empty if they are lost."""
    stored = {artifact.path for artifact in client.list_artifacts(run_id, MODEL)}
    rows, manifest = SCHEMA.empty_table(), {}
    with tempfile.TemporaryDirectory() as folder:
        if f"{MODEL}/{TRAINING_ROWS}" in stored:
            file = client.download_artifacts(run_id, f"{MODEL}/{TRAINING_ROWS}", folder)
            rows = read_training_rows(Path(file).parent)
        if f"{MODEL}/manifest.json" in stored:
            manifest = files.read_json(Path(client.download_artifacts(run_id, f"{MODEL}/manifest.json", folder)))
    return rows, manifest


def _base_of(manifest: dict[str, Any]) -> str | None:
    ancestors = (manifest.get("base_model") or {}).get("ancestors")
    return str(ancestors[0]["model"]) if ancestors else None
