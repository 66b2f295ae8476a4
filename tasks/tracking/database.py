"""Create the SQLite file of MLflow's store completely or not at all, and repair an incomplete one.

MLflow itself creates its tables in about a hundred steps, and most of them commit separately. A killed process leaves a
file that MLflow can neither use nor complete (``_alembic_tmp_experiments already exists``). Therefore the file is
created under another name, and renamed when it is complete.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tasks.core.errors import TunesmithError, described
from tasks.core.files import TEMPORARY

logger = logging.getLogger("tunesmith")

_RESTORE = (
    "Restore a copy of the file if you have one. Else move it away: `tunesmith sync` then logs the trained experiments "
    "anew from their files, but registered versions and aliases are lost"
)
_SIDECARS = ("-journal", "-wal", "-shm")
_HALF_RENAMED = "_alembic_tmp_"

PATIENCE_SECONDS = 20.0
"""Longest wait for the lock that another process holds on the database."""

# MLflow and `open_store` fill these tables, so rows in them are not logged by anyone.
_OWN_TABLES = {"alembic_version", "workspaces", "experiments", "experiment_tags"}


def refuse_unwritable(database: Path) -> None:
    """Raise TunesmithError if SQLite cannot write ``database``."""
    folder = database.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # SQLite writes its journal beside the database, so the folder must be writable too.
        writable = os.access(folder, os.W_OK) and (not database.exists() or os.access(database, os.W_OK))
    except OSError:
        writable = False
    if not writable or database.is_dir():
        raise TunesmithError(
            f"{database}: the tracking database must be a writable file in a writable folder; "
            "give this user access, or point MLFLOW_TRACKING_URI elsewhere"
        )


def make_whole(database: Path, own_experiment: str) -> None:
    """Make ``database`` a store that MLflow can open; the caller holds the lock of the store.

    - A missing or empty file is created under another name and renamed.
    - A file whose creation was interrupted is renamed and created anew; it holds no run and no registered model.
    - A file of an older MLflow with runs or models is migrated on a copy; the old file is kept beside it.

    Raises:
        TunesmithError: the file is damaged, belongs to a newer MLflow, or cannot be migrated; or another process has
            locked it, or has it open while it is incomplete.
    """
    _remove_partial(database)
    if not database.exists():
        _set_aside_sidecars(database)
        return _create(database)
    tables = _tables(database)
    if not tables:
        _refuse_others(database)
        return _create(database)
    revision, head = _revision(database, tables), _head()
    if revision == head:
        return None
    _refuse_newer(database, revision)
    _refuse_others(database)
    if kept := _contents(database, tables, own_experiment):
        return _migrate(database, revision, head, kept)
    aside = _set_aside(database)
    logger.warning(
        "%s: its creation was interrupted: its schema is %s and must be %s. It held no run and no registered model. "
        "It is kept as %s, and a new one is created; `tunesmith sync` logs the trained experiments from their files",
        database,
        revision or "without a version",
        head,
        aside.name,
    )
    return _create(database)


def _create(database: Path) -> None:
    with _replacement(database) as partial:
        _upgrade(partial, new=True)


def _migrate(database: Path, revision: str | None, head: str, kept: str) -> None:
    before = database.with_name(f"{database.name}.before-{head}")
    with _replacement(database) as partial:
        try:
            with connected(database) as source, connected(partial) as copy:
                source.backup(copy)
            _upgrade(partial, new=False)
        except Exception as error:
            raise TunesmithError(
                f"{database}: its schema must be {head}; it is {revision or 'without a version'}, and migrating a copy "
                f"of it failed ({described(error)}). It holds {kept}, so nothing was changed. {_RESTORE}"
            ) from None
        before.unlink(missing_ok=True)
        shutil.copy2(database, before)
    logger.warning(
        "%s: migrated to the schema of this MLflow, %s, with %s; the old file is kept as %s",
        database,
        head,
        kept,
        before.name,
    )


def _upgrade(database: Path, new: bool) -> None:
    # `mlflow db upgrade` and MLflow's store call these functions. They are private, so MLflow is pinned.
    from mlflow.store.db.utils import _initialize_tables, _upgrade_db
    from sqlalchemy import URL, create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(URL.create("sqlite", database=str(database)), poolclass=NullPool)
    try:
        (_initialize_tables if new else _upgrade_db)(engine)
    finally:
        engine.dispose()


@contextmanager
def _replacement(database: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there replaces ``database`` atomically."""
    partial = database.with_name(f".{database.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(database)
    finally:
        _remove_partial(database)


def _remove_partial(database: Path) -> None:
    for left in database.parent.glob(f".{database.name}.*{TEMPORARY}*"):
        left.unlink(missing_ok=True)


def _set_aside(database: Path) -> Path:
    aside = database.with_name(f"{database.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    database.replace(aside)
    _set_aside_sidecars(database, aside)
    return aside


def _set_aside_sidecars(database: Path, aside: Path | None = None) -> None:
    """Rename the journals of a missing file; SQLite would replay them into the next file of this name."""
    aside = aside or database.with_name(f"{database.name}.broken-{time.strftime('%Y%m%d-%H%M%S')}")
    for ending in _SIDECARS:
        journal = database.with_name(f"{database.name}{ending}")
        if journal.exists():
            journal.replace(aside.with_name(f"{aside.name}{ending}"))


@contextmanager
def connected(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection, and close it at the end of the block.

    Raises:
        TunesmithError: another process keeps the file locked.
    """
    try:
        with closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        raise TunesmithError(
            f"{database}: another process has kept the tracking database locked for {PATIENCE_SECONDS:g} seconds; "
            "wait until it has finished, or end it, and run again"
        ) from None


def _tables(database: Path) -> set[str]:
    try:
        with connected(database) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise TunesmithError(
            f"{database}: the tracking database must be a readable SQLite file; SQLite reports: {error}. {_RESTORE}"
        ) from None


def _revision(database: Path, tables: set[str]) -> str | None:
    if "alembic_version" not in tables:
        return None
    with connected(database) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _head() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _contents(database: Path, tables: set[str], own_experiment: str) -> str:
    """Describe what would be lost with the file; empty if nobody has logged anything to it."""
    rows: dict[str, int] = {}
    with connected(database) as connection:
        for table in sorted(tables):
            name = table.removeprefix(_HALF_RENAMED)
            if name == "experiments":
                query = f'SELECT count(*) FROM "{table}" WHERE name NOT IN (?, ?)'
                count = connection.execute(query, ("Default", own_experiment)).fetchone()[0]
            elif name in _OWN_TABLES:
                continue
            else:
                count = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            rows[name] = max(rows.get(name, 0), count)
    words = {"runs": "run", "registered_models": "registered model", "experiments": "other experiment"}
    parts = [f"{rows[name]} {word}{'s' * (rows[name] > 1)}" for name, word in words.items() if rows.get(name)]
    return ", ".join(parts) or ("rows of other tables" if any(rows.values()) else "")


def _refuse_newer(database: Path, revision: str | None) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.version import VERSION

    try:
        if revision:
            ScriptDirectory.from_config(_get_alembic_config("")).get_revision(revision)
    except CommandError:
        raise TunesmithError(
            f"{database}: its schema, {revision}, must be one that MLflow {VERSION} knows; a newer MLflow has written "
            "it. Install that version, or point MLFLOW_TRACKING_URI at another file"
        ) from None


def _refuse_others(database: Path) -> None:
    """Refuse to touch a file that another process has open: that process may be creating it."""
    for process in psutil.process_iter(["pid"]):
        if process.pid == os.getpid():
            continue
        try:
            opened = any(Path(file.path) == database.resolve() for file in process.open_files())
            command = " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue
        if opened:
            raise TunesmithError(
                f"{database}: process {process.pid} (`{command[:200]}`) has it open and may be creating or migrating "
                "it; wait until it has finished, or end it, and run again"
            )
