"""MLflow's SQLite file after its creation was interrupted, from an older or a newer MLflow, and in a moved folder."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine, event

import tasks.tracking.database
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.tracking.client import open_store
from tasks.tracking.sync import sync
from tests.tracking.ledger_workspace import copy_store

STATES = {
    "first_table": "CREATE TABLE experiments",
    "half_renamed": "CREATE TABLE _alembic_tmp_metrics",
    "late": "CREATE TABLE _alembic_tmp_trace_tags",
}
"""State of an interrupted creation → the statement after which the file is copied."""


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the file for each of ``STATES``, and ``older.db``, whole, of three revisions ago."""
    folder = tmp_path_factory.mktemp("states")
    engine = create_engine(f"sqlite:///{folder / 'growing.db'}")

    def copy(connection: object, cursor: object, statement: str, *rest: object) -> None:
        for name, beginning in STATES.items():
            target = folder / f"{name}.db"
            if " ".join(statement.split()).startswith(beginning) and not target.exists():
                shutil.copy(folder / "growing.db", target)
                journal = folder / "growing.db-journal"
                if journal.exists():
                    shutil.copy(journal, folder / f"{name}.db-journal")

    event.listen(engine, "after_cursor_execute", copy)
    config = _get_alembic_config(str(engine.url))
    older = list(ScriptDirectory.from_config(config).walk_revisions())[3].revision
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    (folder / "growing.db").rename(folder / "older.db")
    assert all((folder / f"{name}.db").exists() for name in STATES)
    return folder


def put(states: Path, name: str, root: Path) -> Path:
    """``mlflow.db`` of the workspace ``root`` in the state ``name``, with its journal where it has one."""
    root.mkdir(parents=True, exist_ok=True)
    for file in states.glob(f"{name}.db*"):
        shutil.copy(file, root / file.name.replace(f"{name}.db", "mlflow.db"))
    return root / "mlflow.db"


def run_sql(database: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return [row for statement in statements for row in connection.execute(statement).fetchall()]


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*mlflow.db*"))


def test_a_half_made_store_is_set_aside_and_the_ledger_is_rebuilt(
    states: Path, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    (paths.root / "mlflow.db").unlink()
    put(states, "half_renamed", paths.root)
    with caplog.at_level(logging.WARNING, "tunesmith"):
        tracker = open_store(paths.root)
    assert [result.experiment for result in sync(paths, tracker)] == ["base", "lora"]
    broken = [name for name in names(paths.root) if name.startswith("mlflow.db.broken-")]
    assert len(broken) == 1 and names(paths.root) == ["mlflow.db", *broken]
    assert "It held no run and no registered model" in caplog.text and broken[0] in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("state", [*STATES, "empty", "journal_alone"])
def test_every_half_made_state_is_mended(states: Path, tmp_path: Path, state: str) -> None:
    database = tmp_path / "mlflow.db"
    if state == "empty":
        database.touch()
    elif state == "journal_alone":  # SQLite would play it back into a new file of this name
        (tmp_path / "mlflow.db-journal").write_bytes(b"left")
    else:
        put(states, state, tmp_path)
    assert open_store(tmp_path).client.get_experiment_by_name("tunesmith")
    assert not (tmp_path / "mlflow.db-journal").exists()


@pytest.mark.parametrize("table", ["runs", "registered_models"])
def test_a_half_made_store_that_holds_something_is_never_set_aside(states: Path, tmp_path: Path, table: str) -> None:
    database = put(states, "late", tmp_path)
    column = {"runs": "run_uuid", "registered_models": "name"}[table]
    run_sql(database, "PRAGMA ignore_check_constraints = ON", f"INSERT INTO {table} ({column}) VALUES ('one')")
    before = database.read_bytes()
    word = table.replace("_", " ").removesuffix("s")
    with pytest.raises(TunesmithError, match=rf"It holds 1 {word}, so nothing was changed\. Restore a copy") as error:
        open_store(tmp_path)
    assert "registered versions and aliases are lost" in str(error.value) and "\n" not in str(error.value)
    assert names(tmp_path) == ["mlflow.db"] and database.read_bytes() == before


def test_a_whole_store_of_an_older_mlflow_is_migrated_and_the_old_file_kept(states: Path, tmp_path: Path) -> None:
    database = put(states, "older", tmp_path)
    run_sql(
        database,
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) "
        f"VALUES (1, 'tunesmith', '{(tmp_path / 'mlartifacts').as_uri()}', 'active')",
        "INSERT INTO runs (run_uuid, name, experiment_id, lifecycle_stage, status, source_type, start_time, "
        "artifact_uri, user_id) VALUES ('one', 'lora', 1, 'active', 'FINISHED', 'LOCAL', 0, '', 'me')",
    )
    before = database.read_bytes()
    tracker = open_store(tmp_path)
    assert tracker.client.get_run("one").info.status == "FINISHED"
    kept = [name for name in names(tmp_path) if ".before-" in name]
    assert len(kept) == 1 and (tmp_path / kept[0]).read_bytes() == before


def test_a_store_of_a_newer_mlflow_is_refused_with_the_remedy(empty_store: Path, tmp_path: Path) -> None:
    copy_store(empty_store, tmp_path)
    run_sql(tmp_path / "mlflow.db", "UPDATE alembic_version SET version_num = 'fffffffffff0'")
    with pytest.raises(TunesmithError, match=r"a newer MLflow has written it\. Install that version, or"):
        open_store(tmp_path)
    assert names(tmp_path) == ["mlflow.db"]


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TunesmithError, match="must be a readable SQLite file; SQLite reports: file is not a database"):
        open_store(tmp_path)
    assert names(tmp_path) == ["mlflow.db"]


def test_a_store_that_another_process_is_creating_is_left_to_it(states: Path, tmp_path: Path) -> None:
    database = put(states, "half_renamed", tmp_path)
    hold = (
        f"import sqlite3, time; held = sqlite3.connect({str(database)!r}); held.execute('begin immediate'); "
        "print(1, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline()
        with pytest.raises(TunesmithError, match=rf"process {other.pid} \(.*has it open and may be creating"):
            open_store(tmp_path)
    finally:
        other.kill()
        other.communicate()
    assert names(tmp_path)[0] == "mlflow.db"


def test_a_store_that_is_locked_for_long_is_not_called_damaged(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_store(empty_store, tmp_path)
    monkeypatch.setattr(tasks.tracking.database, "PATIENCE_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TunesmithError, match=r"locked for 0\.1 seconds; wait until it has finished") as error:
            open_store(tmp_path)
    assert "Restore" not in str(error.value)
    assert open_store(tmp_path).client.get_experiment_by_name("tunesmith")


CREATE = """
import pathlib, sys
from tasks.tracking.client import open_store
print(1, flush=True)
open_store(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_creation_leaves_no_file_that_shuts_the_workspace(tmp_path: Path) -> None:
    killed = 0
    for patience in (0.1, 0.3, 0.5, 0.7):
        child = subprocess.Popen([sys.executable, "-c", CREATE, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline()
        end = time.monotonic() + 60
        while child.poll() is None and not list(tmp_path.glob(".mlflow.db.*.partial")) and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(patience)
        killed += child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert not (tmp_path / "mlflow.db").exists() or open_store(tmp_path)
    assert killed >= 2
    assert open_store(tmp_path).client.get_experiment_by_name("tunesmith")
    assert not list(tmp_path.glob(".mlflow.db.*"))
