"""Where the artifacts of MLflow's runs are, and which of them are missing.

MLflow's database holds absolute addresses. A workspace that was moved or copied reads and writes the folder
``mlartifacts`` beside its own database.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from tasks.core.counted import counted
from tasks.tracking.database import connected

logger = logging.getLogger("tunesmith")

_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def artifacts_beside(database: Path) -> str:
    """The address of a store's artifacts: the folder ``mlartifacts`` beside it."""
    return (database.resolve().parent / "mlartifacts").as_uri()


def folder_of(address: str) -> Path | None:
    """The folder on this machine that an address of artifacts names; None if it names a server."""
    return Path(unquote(urlparse(address).path)) if address.startswith("file://") else None


def follow_folder(database: Path, experiment: str) -> None:
    """If the store's folder was moved or copied, make the store use the artifacts beside it.

    Nothing is read from the old folder or written to it afterwards, even if it holds artifacts that the new folder
    lacks. A warning then says how to copy them.
    """
    new = artifacts_beside(database)
    with connected(database) as connection:
        row = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
        old = str(row[0]) if row else new
        if old == new or not (old.startswith("file://") and old.endswith("/mlartifacts")):
            return
        with connection:
            _replace_address(connection, old, new)
    before, now = folder_of(old), folder_of(new)
    logger.warning(
        "%s: the workspace was moved or copied; its artifacts are now read from %s, not %s", database, now, before
    )
    if left := _entries(before) - _entries(now):
        logger.warning(
            "%s: %s of artifacts only the old workspace has; copy what you need: cp -Rn '%s/.' '%s'",
            database,
            counted(len(left), "folder"),
            before,
            now,
        )


def _replace_address(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, columns in _COLUMNS.items():
        for column in columns:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )


def _entries(folder: Path | None) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder and folder.is_dir() else set()


def missing(client: Any, run_id: str, folder: str, wanted: Mapping[str, Path]) -> set[str]:
    """Names of the files that the artifacts of a run lack, or hold with another size.

    Args:
        folder: of the artifacts; empty for their root.
        wanted: name, relative to ``folder`` → the file that the artifact is a copy of.
    """
    stored: dict[str, int | None] = {}
    for below in {name.rpartition("/")[0] for name in wanted}:
        entries = client.list_artifacts(run_id, "/".join(part for part in (folder, below) if part) or None)
        stored |= {entry.path: entry.file_size for entry in entries}
    prefix = f"{folder}/" if folder else ""
    return {name for name, path in wanted.items() if stored.get(f"{prefix}{name}") != path.stat().st_size}


def lost(addresses: Iterable[tuple[str, str]], inside: str) -> list[str]:
    """Of pairs of name and address, the names whose folder lacks ``inside``; addresses of servers are left out."""
    folders = ((name, folder_of(address)) for name, address in addresses)
    return [name for name, folder in folders if folder is not None and not (folder / inside).exists()]
