"""Log to MLflow: one MLflow experiment, ``tunesmith``, holds one run per key of each experiment.

All calls pass a run id to ``MlflowClient``. MLflow's functions without a run id use an active run, which is local to a
thread, and a tracking URI, which is global to the process: the threads of a trainer, or a flow in the same process,
would log into each other's runs.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH
from sqlalchemy.exc import SQLAlchemyError

from tasks.core.errors import TunesmithError
from tasks.core.faults import TransientError
from tasks.core.files import canonical_json
from tasks.core.paths import TRACKING_VARIABLE, Paths, tracking_uri
from tasks.tracking.artifacts import artifacts_beside, follow_folder
from tasks.tracking.database import make_whole, refuse_unwritable
from tasks.tracking.metric_names import of_curve
from tasks.tracking.processes import this_process
from tasks.tracking.run_params import as_text, main_params
from tasks.tracking.tag_names import KEY, NAME, PROCESS
from tasks.tracking.views import ensure_views

logger = logging.getLogger("tunesmith")

EXPERIMENT = "tunesmith"
VARIABLE = TRACKING_VARIABLE

Point = tuple[str, int]
"""Name and step of a metric's value; a run has each point at most once."""

_CONNECT_S, _READ_S = 3, 10

# By default MLflow retries a call to an unresponsive server 8 times with doubling pauses, which takes four minutes. It
# also shows a progress bar per file, prints addresses and sends telemetry. Variables that the user has set win.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def open_store(root: Path) -> Tracker:
    """Open the MLflow store of the workspace ``root``; create it on first use.

    SQLite stores are opened under a lock: if three processes create one at the same time, two die with ``table
    alembic_version already exists``. An incomplete file is repaired first; see ``make_whole``.

    Raises:
        TunesmithError: the server does not answer, the SQLite file cannot be written or repaired, or the experiment
            was deleted in MLflow.
    """
    _quieten()
    uri = tracking_uri(root)
    if not uri.startswith("sqlite:"):
        if uri.startswith(("http://", "https://")):
            _refuse_silent(uri)
        return _open(uri, None)
    database = Path(uri.removeprefix("sqlite:///").split("?")[0])
    refuse_unwritable(database)
    with FileLock(_lock_of(database, Paths(root))), _uninterrupted():
        make_whole(database, EXPERIMENT)
        follow_folder(database, EXPERIMENT)
        return _open(uri, artifacts_beside(database))


def _lock_of(database: Path, paths: Paths) -> Path:
    """Path of a store's lock: among the workspace's state for its own store, beside the file for a shared one."""
    if database.resolve().parent != paths.root.resolve():
        return database.with_name(f".{database.name}.lock")
    paths.state.mkdir(parents=True, exist_ok=True)
    return paths.state / "tracking.lock"


@contextmanager
def readable_mlflow(uri: str) -> Iterator[None]:
    """Turn an error of MLflow or its server into a one-line ``TunesmithError``."""
    try:
        yield
    except (MlflowException, requests.RequestException, SQLAlchemyError) as error:
        raise TunesmithError(f"MLflow at {uri}: {_reason(error)}") from None


class Tracker:
    """``MlflowClient`` and the one experiment that holds all runs.

    Attributes:
        uri: address of the tracking and registry store.
        client: client of that store.
        experiment_id: id of the MLflow experiment ``tunesmith``.
    """

    def __init__(self, uri: str, client: MlflowClient, experiment_id: str) -> None:
        self.uri, self.client, self.experiment_id = uri, client, experiment_id
        self._logged: dict[str, set[Point]] = {}
        self._silent = False

    def find(self, key: str, experiment: str) -> str | None:
        """Id of the latest run of ``key`` and ``experiment``, or None; runs deleted in MLflow do not count."""
        runs = self.find_runs(key, experiment)
        return runs[0].info.run_id if runs else None

    def find_runs(self, key: str, experiment: str) -> list[Run]:
        """All runs of ``key`` and ``experiment``, the latest first."""
        with readable_mlflow(self.uri):
            runs = self.client.search_runs(
                [self.experiment_id], f"tags.`{KEY}` = '{key}'", order_by=["attributes.start_time DESC"]
            )
        return [run for run in runs if run.data.tags.get(NAME) == experiment]

    def create(self, key: str, experiment: str, started_ms: int | None = None) -> str:
        """Create a run with status RUNNING, named like the experiment; return its id."""
        tags = {KEY: key, NAME: experiment, PROCESS: canonical_json(this_process())}
        with readable_mlflow(self.uri):
            run = self.client.create_run(self.experiment_id, started_ms, tags, run_name=experiment)
        return str(run.info.run_id)

    def start(self, key: str, experiment: str, params: Mapping[str, Any]) -> str:
        """Start live logging of ``experiment`` into the run with this key, or into a new one; return the run's id.

        Args:
            params: resolved parameters of the training; the run gets those of ``main_params``.

        Raises:
            TunesmithError: the store refuses the call. The other methods of live logging never raise.
        """
        run_id = ""
        try:
            with readable_mlflow(self.uri), self._whole():
                run = next(iter(self.find_runs(key, experiment)), None)
                run_id = run.info.run_id if run else self.create(key, experiment)
                if run:
                    self.client.update_run(run_id, "RUNNING")
                    self.client.set_tag(run_id, PROCESS, canonical_json(this_process()))
                self.log_params(run_id, main_params(params), run.data.params if run else {})
                self._logged[run_id] = self.points(run_id, list(run.data.metrics)) if run else set()
        except (KeyboardInterrupt, SystemExit):  # the caller does not know the run yet
            if run_id:
                self.finish(run_id, "KILLED")
            raise
        return run_id

    def log(self, run_id: str, metrics: Mapping[str, float | None], step: int, time: float) -> None:
        """Log ``metrics``, by the names of ``of_curve``, at ``step`` and ``time`` (unix seconds). Never raises.

        Points that the run already has are left out: a training that resumes from a checkpoint repeats steps. The
        first error is logged as a warning and ends live logging in this process; ``sync`` completes the run later.
        """
        if self._silent:
            return
        logged = self._logged.setdefault(run_id, set())
        named = {of_curve(name): float(value) for name, value in metrics.items() if value is not None}
        new = {name: value for name, value in named.items() if (name, step) not in logged}
        try:
            with self._whole():
                self.log_points(run_id, [Metric(name, value, int(time * 1000), step) for name, value in new.items()])
                logged |= {(name, step) for name in new}
        except Exception as error:  # an unresponsive server must not end a training
            self._warn(error)

    def finish(self, run_id: str, status: str) -> None:
        """Set the run's status (``FINISHED``, ``FAILED``, ``KILLED``) and set its end time to now. Never raises."""
        if self._silent:
            return
        try:
            with self._whole():
                self.client.set_terminated(run_id, status)
        except Exception as error:
            self._warn(error)

    def _whole(self) -> AbstractContextManager[None]:
        # The traceback of an interrupt keeps SQLite's statement alive, and with it the lock on the file. The next
        # write, such as the status KILLED, would wait for 20 s. Calls to a server take no such lock and may take long,
        # so an interrupt may end them.
        return _uninterrupted() if self.uri.startswith("sqlite:") else nullcontext()

    def points(self, run_id: str, names: list[str]) -> set[Point]:
        """The points of the metrics ``names`` that the run already has."""
        histories = (self.client.get_metric_history(run_id, name) for name in names)
        return {(point.key, point.step) for history in histories for point in history}

    def log_points(self, run_id: str, points: list[Metric]) -> None:
        """Log ``points`` in batches of the size that MLflow accepts."""
        for start in range(0, len(points), MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_BATCH])

    def log_params(self, run_id: str, params: Mapping[str, Any], present: Mapping[str, str]) -> None:
        """Log the parameters that are not in ``present``; MLflow refuses a second value for a parameter."""
        missing = [Param(name, as_text(value)) for name, value in params.items() if name not in present]
        for start in range(0, len(missing), MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(run_id, params=missing[start : start + MAX_PARAMS_TAGS_PER_BATCH])

    def _warn(self, error: Exception) -> None:
        self._silent = True
        logger.warning(
            "MLflow at %s no longer answers (%s); the run goes on without it, and `tunesmith sync` completes MLflow "
            "from the files later",
            self.uri,
            _reason(error),
        )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block; other threads than the main one get no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    held = True

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            received.append(number)
        else:  # another signal's handler raised before this one was restored
            signal.signal(number, before[number])
            signal.raise_signal(number)

    # `getsignal` returns None for a handler that C code has set; it could not be restored.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {int(number): handler for number, handler in handlers.items() if handler is not None}
    try:
        for number in before:
            signal.signal(number, hold)
        yield
    finally:
        held = False
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)


def _open(uri: str, artifacts: str | None) -> Tracker:
    with readable_mlflow(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT) or _create(client, artifacts)
    if experiment.lifecycle_stage == "deleted":
        raise TunesmithError(
            f"MLflow at {uri}: the experiment {EXPERIMENT!r} must exist; it was deleted there. Bring it back with "
            f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
        )
    with readable_mlflow(uri):
        ensure_views(client, experiment)
    return Tracker(uri, client, experiment.experiment_id)


def _create(client: MlflowClient, artifacts: str | None) -> Experiment:
    try:
        # Without this tag MLflow's page opens on traces and judges, which this project does not use.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return client.get_experiment(client.create_experiment(EXPERIMENT, artifacts, tags))
    except MlflowException:
        # Another workspace may have created it on the same server in between.
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            raise
        return experiment


def _refuse_silent(uri: str) -> None:
    try:
        response = requests.get(f"{uri.rstrip('/')}/health", timeout=(_CONNECT_S, _READ_S))
        reason = f"HTTP {response.status_code}" if response.status_code >= 500 else None
    except requests.ConnectTimeout:
        reason = f"no connection within {_CONNECT_S} s"
    except requests.ReadTimeout:
        reason = f"no answer within {_READ_S} s"
    except requests.ConnectionError as error:
        reason = _reason(error)
    except requests.RequestException as error:
        reason = _reason(error)
    if reason:
        raise TransientError(
            f"{VARIABLE}: the tracking server at {uri} must answer; it does not ({reason}); "
            "start it or unset the variable"
        )


def _quieten() -> None:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for noisy in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _reason(error: Exception) -> str:
    """Shorten the error: urllib3 and MLflow write four lines about a dead connection."""
    text = str(error).strip()
    for sign in ("Connection refused", "Read timed out", "timed out", "Name or service not known"):
        if sign in text:
            return sign.lower()
    return text.splitlines()[0][:300] if text else type(error).__name__
