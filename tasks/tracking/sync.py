"""``sync``: complete or rebuild the MLflow runs from the files, whether or not live logging worked."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from tasks.core.files import canonical_json
from tasks.core.paths import Paths
from tasks.evaluate.inference_settings import IDENTITY
from tasks.tracking import experiment_files
from tasks.tracking.artifacts import missing
from tasks.tracking.client import SYNCED, Tracker, open_store, readable_mlflow
from tasks.tracking.ended import end_abandoned, name_lost
from tasks.tracking.experiment_files import LARGE, ExperimentFiles

logger = logging.getLogger("tunesmith")

WEIGHTS = "tunesmith.weights_sha256"


@dataclass(frozen=True)
class SyncResult:
    """The run of one experiment; ``changed``: whether ``sync`` added anything."""

    experiment: str
    run_id: str
    changed: bool


def sync(paths: Paths, tracker: Tracker | None = None) -> list[SyncResult]:
    """Make the MLflow run of every finished experiment match the experiment's files.

    A run belongs to one key, one set of weights and one set of generation settings (``inference.json``). If one of them
    changes, a new run is created and the old one stays. ``sync`` may be repeated, interrupted, and started on an empty
    store. Artifacts that are missing are stored again. Runs whose process was killed are set to KILLED.

    Raises:
        TunesmithError: the store does not answer or refuses a call.
    """
    tracker = tracker or open_store(paths.root)
    names = experiment_files.names(paths)
    lock = experiment_files.read_lock(paths) if names else {}
    paths.state.mkdir(parents=True, exist_ok=True)
    # Two concurrent syncs would both log the same missing points.
    with FileLock(paths.state / "sync.lock"), readable_mlflow(tracker.uri):
        results = [_sync_one(experiment_files.read(paths, name, lock), tracker) for name in names]
        end_abandoned(tracker, paths)
        name_lost(tracker)
        return results


def _sync_one(experiment: ExperimentFiles, tracker: Tracker) -> SyncResult:
    run = _run_of(experiment, tracker)
    if run is None:
        run = tracker.client.get_run(
            tracker.create(experiment.key, experiment.name, _ms(experiment.training.get("started")))
        )
    absent = _missing_artifacts(experiment, run, tracker)
    if run.info.status == "FINISHED" and run.data.tags.get(SYNCED) == experiment.digest and not any(absent.values()):
        return SyncResult(experiment.name, run.info.run_id, False)
    _complete(experiment, run, absent, tracker)
    return SyncResult(experiment.name, run.info.run_id, True)


def _run_of(experiment: ExperimentFiles, tracker: Tracker) -> Run | None:
    """The run with these weights, or one that was logged live and has no weights yet.

    A registered version points at the model in its run, so a run's weights and generation settings never change.
    """
    runs = [
        run for run in tracker.find_runs(experiment.key, experiment.name) if not _generates_differently(experiment, run)
    ]
    same = [run for run in runs if run.data.tags.get(WEIGHTS) == experiment.weights]
    return next(iter(same or [run for run in runs if WEIGHTS not in run.data.tags]), None)


def _generates_differently(experiment: ExperimentFiles, run: Run) -> bool:
    """Whether the run records other generation settings; MLflow accepts no second value for a parameter."""
    present, logged = experiment.params().get(IDENTITY), run.data.params.get(IDENTITY)
    return present is not None and logged is not None and present != logged


def _complete(experiment: ExperimentFiles, run: Run, absent: dict[str, set[str]], tracker: Tracker) -> None:
    client, run_id = tracker.client, run.info.run_id
    tracker.log_params(run_id, experiment.params(), run.data.params)
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in experiment.tags().items()])
    tracker.log_points(run_id, _missing_history(experiment, run, tracker))
    tracker.log_points(run_id, _changed_finals(experiment, run, tracker))
    known = {(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs} if run.inputs else set()
    client.log_inputs(run_id, [_input(d) for d in experiment.data if (d.name, d.digest) not in known])
    for group in experiment.groups:
        _upload(group, experiment, run, absent[group], tracker)
    client.set_tag(run_id, WEIGHTS, experiment.weights)
    client.set_terminated(run_id, "FINISHED", _ms(experiment.training.get("ended")))
    # This tag comes last: if a sync ends before it, the next one repeats everything.
    client.set_tag(run_id, SYNCED, experiment.digest)


def _missing_history(experiment: ExperimentFiles, run: Run, tracker: Tracker) -> list[Metric]:
    """The points of ``history.jsonl`` that the run lacks; usually live logging has logged most of them."""
    points = experiment.history_points()
    logged = tracker.points(run.info.run_id, sorted({name for name, *_ in points} & run.data.metrics.keys()))
    missing: dict[tuple[str, int], Metric] = {}
    for name, value, step, time in points:
        if (name, step) not in logged:
            missing[name, step] = Metric(name, value, int(time * 1000), step)
    return list(missing.values())


def _changed_finals(experiment: ExperimentFiles, run: Run, tracker: Tracker) -> list[Metric]:
    """The final metrics that the run lacks, at one step after the last of the history.

    MLflow shows the value at the highest step. So ``validation_loss`` is that of the kept checkpoint, and
    ``tokens_per_second`` that of the whole run, not the values that were logged last.
    """
    step = 1 + max((step for _, _, step, _ in experiment.history_points()), default=-1)
    time = _ms(experiment.evaluation.get("ended") or experiment.training.get("ended")) or run.info.start_time
    finals = []
    for name, value in experiment.final_metrics().items():
        history = tracker.client.get_metric_history(run.info.run_id, name) if name in run.data.metrics else []
        earlier = [point for point in history if point.step == step]
        last = max(earlier, key=lambda point: point.timestamp, default=None)
        if last is None:
            finals.append(Metric(name, value, time, step))
        elif not _equal(last.value, value):
            finals.append(Metric(name, value, max(time, last.timestamp + 1), step))
    return finals


def _missing_artifacts(experiment: ExperimentFiles, run: Run, tracker: Tracker) -> dict[str, set[str]]:
    """Group → names of its files that the run does not hold as they are."""
    return {
        group: missing(tracker.client, run.info.run_id, group, wanted) for group, wanted in experiment.groups.items()
    }


def _upload(group: str, experiment: ExperimentFiles, run: Run, absent: set[str], tracker: Tracker) -> None:
    """Upload the files of ``group`` that changed since the last sync or are ``absent``.

    The content of full weights never changes in a run, so they are uploaded only if they are absent.
    """
    tag = f"{SYNCED}.{group or 'report'}"
    unchanged = run.data.tags.get(tag) == experiment.digests[group]
    if unchanged and absent:
        logger.warning(
            "%s: MLflow run %s lacked artifacts; they are stored again: %s",
            experiment.name,
            run.info.run_id,
            ", ".join(sorted(_artifact(group, name) for name in absent)),
        )
    have_weights = run.data.tags.get(WEIGHTS) == experiment.weights
    for name, path in experiment.groups[group].items():
        same = unchanged or (have_weights and path.stat().st_size > LARGE)
        if same and name not in absent:
            continue
        folder = _artifact(group, name).rpartition("/")[0]
        tracker.client.log_artifact(run.info.run_id, str(path), folder or None)
    tracker.client.set_tag(run.info.run_id, tag, experiment.digests[group])


def _artifact(group: str, name: str) -> str:
    """Name of the artifact that is a copy of the file ``name`` of ``group``."""
    return f"{group}/{name}" if group else name


def _input(data: experiment_files.Data) -> DatasetInput:
    dataset = Dataset(data.name, data.digest, "local", canonical_json({"uri": data.name}))
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, data.context)])


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def _equal(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
