"""Runs that nobody completes any more: those that a killed process left running, and those without artifacts."""

from __future__ import annotations

import json
import logging
from typing import Any

from filelock import FileLock, Timeout
from mlflow.entities import Run

from tasks.core.counted import counted
from tasks.core.paths import Paths, tracking_uri
from tasks.tracking.artifacts import lost
from tasks.tracking.client import Tracker
from tasks.tracking.processes import is_gone, is_here
from tasks.tracking.tag_names import FLOW, NAME, PROCESS, SYNCED

logger = logging.getLogger("tunesmith")

_MODEL = "model"
_NAMED = 3
_PAGE = 1000


def end_abandoned(tracker: Tracker, paths: Paths) -> list[str]:
    """Set to KILLED the runs with status RUNNING whose process has ended; return their ids."""
    ended = []
    for run in _runs(tracker, "attributes.status = 'RUNNING'"):
        if run.data.tags.keys() & {NAME, FLOW} and _has_ended(run, tracker, paths):
            run_id, name = run.info.run_id, run.info.run_name
            tracker.client.set_terminated(run_id, "KILLED", _last_point(run, tracker))
            logger.warning("%s: the process of MLflow run %s has ended; the run is now KILLED", name, run_id)
            ended.append(run_id)
    return ended


def _has_ended(run: Run, tracker: Tracker, paths: Paths) -> bool:
    note: dict[str, Any] = json.loads(run.data.tags.get(PROCESS, "{}"))
    if note and is_here(note):
        return is_gone(note)
    # The process ran in another container or machine, or the run is of an earlier version. In the workspace's own
    # store, a training that runs holds the lock of its experiment. Nothing tells whether a flow still runs.
    if NAME not in run.data.tags:
        return False
    if tracker.uri != tracking_uri(paths.root) or not tracker.uri.startswith(f"sqlite:///{paths.root.resolve()}/"):
        return False
    lock = paths.train_lock(run.data.tags[NAME])
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def _last_point(run: Run, tracker: Tracker) -> int:
    """Time (unix ms) of the last value that the run logged; its start if it logged none."""
    histories = (tracker.client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return max((point.timestamp for points in histories for point in points), default=run.info.start_time)


def name_lost(tracker: Tracker) -> list[str]:
    """Warn of synced runs whose model is gone from their artifacts; return their ids.

    Only artifacts in folders of this machine are looked at.
    """
    runs = {run.info.run_id: run for run in _runs(tracker, "attributes.status = 'FINISHED'") if SYNCED in run.data.tags}
    ids = lost(((run_id, run.info.artifact_uri) for run_id, run in runs.items()), _MODEL)
    if ids:
        named = ", ".join(f"{runs[run_id].data.tags[NAME]} ({run_id})" for run_id in ids[:_NAMED])
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        logger.warning(
            "MLflow: %s without a model, which no file of the workspace can restore: %s%s%s. Copy their folders from "
            "the old workspace or a backup into mlartifacts, or delete these runs in MLflow",
            counted(len(ids), "run"),
            named,
            more,
            _versions(tracker, ids),
        )
    return ids


def _versions(tracker: Tracker, ids: list[str]) -> str:
    versions = [v for v in tracker.client.search_model_versions() if v.run_id in ids]
    if not versions:
        return ""
    return "; registered from them: " + ", ".join(f"models:/{v.name}/{v.version}" for v in versions)


def _runs(tracker: Tracker, condition: str) -> list[Run]:
    """All runs that satisfy ``condition``, in MLflow's language of filters."""
    runs: list[Run] = []
    token = None
    while True:
        page = tracker.client.search_runs([tracker.experiment_id], condition, max_results=_PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
