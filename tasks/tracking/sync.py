"""``sync``: complete or rebuild the MLflow runs from the files, whether or not live logging worked."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModel, Metric, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_LOGGED_ARTIFACTS

from tasks.core.files import canonical_json
from tasks.core.paths import Paths
from tasks.evaluate.inference_settings import IDENTITY
from tasks.tracking import experiment_files
from tasks.tracking.artifacts import missing
from tasks.tracking.client import Tracker, open_store, readable_mlflow
from tasks.tracking.description import RESULTS, describe, results, verdict
from tasks.tracking.ended import end_abandoned, name_lost
from tasks.tracking.experiment_files import LARGE, ExperimentFiles
from tasks.tracking.logged_model import ensure_model
from tasks.tracking.metric_names import DEFAULT_PRIMARY, of_curve
from tasks.tracking.run_files import LOGGED, OUTPUTS, write_files
from tasks.tracking.run_metrics import Final, earlier, finals
from tasks.tracking.tag_names import INFERENCE, PROCESS, SYNCED, VERDICT, WEIGHTS
from tasks.tracking.views import write_views

logger = logging.getLogger("tunesmith")


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
    primary = experiment_files.read_comparison(paths).get("metric") or DEFAULT_PRIMARY
    # Two concurrent syncs would both log the same missing points.
    with FileLock(paths.state / "sync.lock"), readable_mlflow(tracker.uri), tempfile.TemporaryDirectory() as folder:
        write_views(tracker.client, tracker.experiment_id, primary)
        synced = []
        for name in names:
            experiment = experiment_files.read(paths, name, lock)
            synced.append(_sync_one(experiment.with_files(write_files(experiment, Path(folder) / name)), tracker))
        end_abandoned(tracker, paths)
        name_lost(tracker)
        return synced


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
    """Whether the run records other generation settings, in its tag or, in runs of earlier versions, its parameter."""
    present = experiment.tags().get(INFERENCE)
    logged = run.data.tags.get(INFERENCE) or run.data.params.get(IDENTITY)
    return present is not None and logged is not None and present != logged


def _complete(experiment: ExperimentFiles, run: Run, absent: dict[str, set[str]], tracker: Tracker) -> None:
    client, run_id = tracker.client, run.info.run_id
    # The tags come first: they tell the generation settings, by which `_run_of` recognises the run.
    tags = experiment.tags() | _result_tags(experiment)
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    tracker.log_params(run_id, experiment.params(), run.data.params)
    tracker.log_points(run_id, _missing_history(experiment, run, tracker))
    model = ensure_model(client, experiment, run) if experiment.weights else None
    tracker.log_points(run_id, _changed_finals(experiment, run, model, tracker))
    known = {(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs} if run.inputs else set()
    client.log_inputs(run_id, [_input(d) for d in experiment.data if (d.name, d.digest) not in known])
    for group in experiment.groups:
        _upload(group, experiment, run, absent[group], tracker)
    if experiment.entry().get("metrics"):
        describe(client, run_id, RESULTS, results(experiment.entry(), experiment.comparison))
    client.set_tag(run_id, WEIGHTS, experiment.weights)
    outdated = {PROCESS} if VERDICT in _result_tags(experiment) else {PROCESS, VERDICT}
    for tag in outdated & run.data.tags.keys():
        client.delete_tag(run_id, tag)
    client.set_terminated(run_id, "FINISHED", _ms(experiment.training.get("ended")))
    # This tag comes last: if a sync ends before it, the next one repeats everything.
    client.set_tag(run_id, SYNCED, experiment.digest)


def _result_tags(experiment: ExperimentFiles) -> dict[str, str]:
    entry = experiment.entry()
    judged = verdict(entry, experiment.comparison) if entry.get("metrics") else ""
    tags = {VERDICT: judged} if judged else {}
    return tags | ({MLFLOW_LOGGED_ARTIFACTS: LOGGED} if OUTPUTS in experiment.groups[""] else {})


def _missing_history(experiment: ExperimentFiles, run: Run, tracker: Tracker) -> list[Metric]:
    """The points of ``history.jsonl`` that the run lacks; usually live logging has logged most of them.

    A curve that an earlier version logged keeps its name.
    """
    names = run.data.metrics
    points = [
        (name if name in names and of_curve(name) not in names else of_curve(name), value, step, time)
        for name, value, step, time in experiment.history_points()
    ]
    logged = tracker.points(run.info.run_id, sorted({name for name, *_ in points} & names.keys()))
    missing: dict[tuple[str, int], Metric] = {}
    for name, value, step, time in points:
        if (name, step) not in logged:
            missing[name, step] = Metric(name, value, int(time * 1000), step)
    return list(missing.values())


def _changed_finals(experiment: ExperimentFiles, run: Run, model: LoggedModel | None, tracker: Tracker) -> list[Metric]:
    """The final metrics that the run or its model lacks.

    A metric without a curve has step 0, so that the chart view draws bars. One with a curve has a step more than the
    curve, since MLflow shows the value at the highest step: ``validation_loss`` is that of the kept checkpoint, and
    ``system/tokens_per_second`` that of the whole run, not the values that were logged last. Metrics that a run of an
    earlier version has under other names are brought up to date under both.
    """
    curves = experiment.history_points()
    last, drawn = max((step for _, _, step, _ in curves), default=-1), {of_curve(name) for name, *_ in curves}
    time = _ms(experiment.evaluation.get("ended") or experiment.training.get("ended")) or run.info.start_time
    current = finals(experiment)
    current |= {
        name: Final(value)
        for name, value in earlier(experiment).items()
        if name in run.data.metrics and name not in current
    }
    shown = {(metric.key, metric.dataset_name): metric.value for metric in (model.metrics or [])} if model else {}
    changed = []
    for name, final in current.items():
        history = tracker.client.get_metric_history(run.info.run_id, name) if name in run.data.metrics else []
        step = max([last + 1 if name in drawn else 0, *(point.step for point in history)])
        logged = max((p for p in history if p.step == step), key=lambda point: point.timestamp, default=None)
        at = time
        if logged is not None:
            same = _equal(logged.value, final.value)
            on_model = model is None or final.data is None or _equal(shown.get((name, final.data)), final.value)
            if same and on_model:
                continue
            at = logged.timestamp if same else max(time, logged.timestamp + 1)
        changed.append(Metric(name, final.value, at, step, **_of_model(final, model, experiment, run)))
    return changed


def _of_model(final: Final, model: LoggedModel | None, experiment: ExperimentFiles, run: Run) -> Mapping[str, Any]:
    """The arguments of a metric that belongs to a model and a data set; MLflow then stores it with run and model."""
    if model is None or final.data is None:
        return {}
    return {
        "model_id": model.model_id,
        "dataset_name": final.data,
        "dataset_digest": experiment.data_digest,
        "run_id": run.info.run_id,
    }


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


def _equal(left: float | None, right: float) -> bool:
    return left is not None and (left == right or (math.isnan(left) and math.isnan(right)))
