"""What the logs of the servers tell: which service failed, and with which error."""

from __future__ import annotations

from pathlib import Path

from flows.server_logs import Failure, LogReader, failures
from tests.flows.logged import SCHEDULER

ERROR = (
    "sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement; please supply a bulk_dml decorated function"
)
# A cause and its consequence, and what SQLAlchemy adds behind them.
LOCKED = """\
06:20:30.263 | ERROR   | prefect.server - Encountered error during state validation
Traceback (most recent call last):
  File "aiosqlite/core.py", line 63, in _connection_worker_thread
    result = function()
             ^^^^^^^^^^
sqlite3.OperationalError: database is locked

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "sqlalchemy/engine/default.py", line 964, in do_execute
    cursor.execute(statement, parameters)
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked
[SQL: INSERT INTO flow_run_state (flow_run_id) VALUES (:flow_run_id)]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
"""
MLFLOW = """\
2026/11/30 06:05:56 INFO mlflow.server.jobs.executor_registry: Available backends after discovery: local
2026/11/30 06:06:10 INFO:     127.0.0.1:37028 - "GET /health HTTP/1.1" 200 OK
2026/11/30 06:06:40 ERROR mlflow.server.handlers: the store is gone
2026/11/30 06:06:41 ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "starlette/routing.py", line 1, in app
    raise ValueError("no")
ValueError: no
"""
QUIET = """\
 ___ ___ ___ ___ ___ ___ _____
| _ \\ _ \\ __| __| __/ __|_   _|
Check out the dashboard at http://127.0.0.1:4270
06:24:01.100 | WARNING | prefect.server.services - a lease was not found
06:24:02.100 | INFO    | prefect.server - 0 ERROR lines
"""


def test_each_service_that_fails_is_named_with_the_last_line_of_its_error(tmp_path: Path) -> None:
    log = tmp_path / "ui-prefect.log"
    log.write_text(QUIET + SCHEDULER + LOCKED)
    assert failures(log) == [
        Failure("schedule_recent_deployments", ERROR),
        Failure("prefect.server", "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked"),
    ]
    first, second = (failure.line("Prefect", log) for failure in failures(log))
    assert first == (
        f"Prefect server: schedule_recent_deployments fails: {ERROR}; no schedule fires. "
        f"`tunesmith doctor` compares the installed versions with the tested ones; log: {log}"
    )
    assert "schedule" not in second
    log.write_text(MLFLOW)
    assert failures(log) == [
        Failure("mlflow.server.handlers", "the store is gone"),
        Failure("the web server", "ValueError: no"),
    ]


def test_a_traceback_without_a_record_counts(tmp_path: Path) -> None:
    log = tmp_path / "ui-mlflow.log"
    traceback = SCHEDULER.split("\n", 1)[1]
    for text in (traceback, MLFLOW.split("\n")[0] + "\n" + traceback):
        log.write_text(text)
        assert failures(log) == [Failure("a process of the server", ERROR)]


def test_a_log_without_errors_gives_no_line(tmp_path: Path) -> None:
    log = tmp_path / "ui-prefect.log"
    assert failures(log) == [] and LogReader(log).new() == []
    log.write_text(QUIET)
    assert failures(log) == []


def test_a_log_that_is_being_written_is_read_whole_and_each_kind_of_failure_once(tmp_path: Path) -> None:
    log = tmp_path / "ui-prefect.log"
    reader, seen = LogReader(log), []
    data = (QUIET + SCHEDULER + SCHEDULER + QUIET + LOCKED).encode()
    with log.open("wb") as file:
        for at in range(0, len(data), 97):  # breaks lines, records and characters
            file.write(data[at : at + 97])
            file.flush()
            seen += reader.new()
    assert [failure.service for failure in seen] == ["schedule_recent_deployments"], "the last record may grow yet"
    assert reader.new() == failures(log)[1:]
    assert reader.new() == []
    with log.open("ab") as file:
        file.write(SCHEDULER.encode())
    assert reader.new() == reader.new() == []
