from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from sqlalchemy.engine.default import DefaultDialect

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths, tracking_uri
from tasks.tracking.client import VARIABLE, Tracker, open_store

KEY = "a" * 64


@pytest.fixture
def dead_server() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_uri_is_the_workspaces_database_unless_the_variable_points_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv(VARIABLE, "http://mlflow:5000")
    assert tracking_uri(tmp_path) == "http://mlflow:5000"


THREE = """
import os, pathlib, sys
import mlflow.store.model_registry.sqlalchemy_store, mlflow.store.tracking.sqlalchemy_store
from tasks.tracking.client import open_store

children = []
for _ in range(3):
    children.append(os.fork())
    if children[-1] == 0:
        open_store(pathlib.Path(sys.argv[1]))
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_three_processes_create_one_store_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", THREE, str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == finished.stdout == ""  # neither MLflow nor alembic chatters
    experiment = open_store(tmp_path).client.get_experiment_by_name("tunesmith")
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()


def test_a_dead_server_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead_server: str) -> None:
    monkeypatch.setenv(VARIABLE, dead_server)
    with pytest.raises(TunesmithError) as error:
        open_store(tmp_path)
    assert str(error.value) == (
        f"MLFLOW_TRACKING_URI: the tracking server at {dead_server} must answer; it does not (connection refused); "
        "start it or unset the variable"
    )


def test_a_database_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(TunesmithError, match=r"mlflow\.db: the tracking database must be a writable file"):
        open_store(tmp_path)


def test_a_deleted_experiment_is_refused_with_its_remedy(tracker: Tracker, paths: Paths) -> None:
    tracker.client.delete_experiment(tracker.experiment_id)
    with pytest.raises(TunesmithError, match="mlflow experiments restore --experiment-id"):
        open_store(paths.root)


def test_start_reuses_the_run_of_the_same_key_and_experiment(tracker: Tracker) -> None:
    first = tracker.start(KEY, "lora", {"lora": {"rank": 8}})
    tracker.finish(first, "FAILED")
    again = tracker.start(KEY, "lora", {"lora": {"rank": 8}, "seed": 1})
    other = tracker.start(KEY, "twin", {})
    assert again == first == tracker.find(KEY, "lora")
    assert other != first
    run = tracker.client.get_run(first)
    assert (run.info.run_name, run.info.status) == ("lora", "RUNNING")
    assert run.data.params == {"rank": "8", "seed": "1"}


def test_a_resumed_training_repeats_no_point(tracker: Tracker) -> None:
    run_id = tracker.start(KEY, "lora", {})
    tracker.log(run_id, {"train_loss": 3.0}, 1, 10.0)
    tracker.log(run_id, {"train_loss": 2.0}, 2, 20.0)
    resumed = Tracker(tracker.uri, tracker.client, tracker.experiment_id)
    run_id = resumed.start(KEY, "lora", {})
    resumed.log(run_id, {"train_loss": 2.5, "validation_loss": None}, 2, 120.0)
    resumed.log(run_id, {"train_loss": 1.0}, 3, 130.5)
    points = tracker.client.get_metric_history(run_id, "train_loss")
    assert [(p.step, p.value, p.timestamp) for p in points] == [(1, 3.0, 10_000), (2, 2.0, 20_000), (3, 1.0, 130_500)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_amid_a_write_comes_after_it_and_leaves_no_lock(
    tracker: Tracker, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's lock would stay with the cursor in the traceback: the next write would wait for 20 s, and fail."""
    execute, sent = DefaultDialect.do_execute, []

    def interrupted(self: DefaultDialect, cursor: Any, statement: str, *arguments: Any, **named: Any) -> None:
        execute(self, cursor, statement, *arguments, **named)
        if "FROM latest_metrics" in statement and not sent:
            sent.append(number)
            signal.raise_signal(number)

    run_id = tracker.start(KEY, "lora", {})
    tracker.log(run_id, {"train_loss": 4.0}, 0, 0.0)
    monkeypatch.setattr(DefaultDialect, "do_execute", interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        tracker.log(run_id, {"train_loss": 3.0}, 1, 10.0)
        raise AssertionError("the signal was lost")
    except KeyboardInterrupt:  # its traceback is alive in here, as it is where a training ends
        tracker.finish(run_id, "KILLED")
    finally:
        signal.signal(number, before)
    run = tracker.client.get_run(run_id)
    assert (sent, run.info.status, run.data.metrics) == ([number], "KILLED", {"train_loss": 3.0})


def test_a_signal_at_the_start_of_a_run_leaves_it_killed(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    create = tracker.client.create_run

    def interrupted(*arguments: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return create(*arguments, **named)

    monkeypatch.setattr(tracker.client, "create_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tracker.start(KEY, "lora", {"seed": 0})
    (run,) = tracker.find_runs(KEY, "lora")
    assert (run.info.status, run.data.params) == ("KILLED", {"seed": "0"})


def test_of_two_signals_amid_a_write_none_stays_held(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    terminate, ended = tracker.client.set_terminated, []
    before = signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        terminate(*arguments)

    run_id = tracker.start(KEY, "lora", {})
    monkeypatch.setattr(tracker.client, "set_terminated", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            tracker.finish(run_id, "FINISHED")
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended and tracker.client.get_run(run_id).info.status == "FINISHED"


def test_a_server_that_goes_away_is_warned_of_once_and_ends_nothing(
    dead_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = Tracker(dead_server, MlflowClient(dead_server), "1")
    with caplog.at_level(logging.WARNING, "tunesmith"):
        tracker.log("run", {"train_loss": 1.0}, 1, 1.0)
        tracker.log("run", {"train_loss": 1.0}, 2, 2.0)
        tracker.finish("run", "FINISHED")
    ours = [record for record in caplog.records if record.name == "tunesmith"]
    assert len(ours) == 1
    assert "tunesmith sync" in ours[0].getMessage()
