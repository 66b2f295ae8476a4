"""``train@X``: a mixture and a base model → ``models/X/`` (weights, ``manifest.json``) and ``runs/X/train/``."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.ancestry.build import ensure_built
from tasks.core import device, files
from tasks.core.errors import TunesmithError, described
from tasks.core.faults import MemoryShortError, ran_out_of_memory
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.memory.fit import cheapest_fit, gb
from tasks.memory.growth import MemoryGrowth
from tasks.memory.simulate import Step
from tasks.model import distributed
from tasks.model.base_models import BaseModel, find, load_tokenizer
from tasks.model.chat import CHAT_DATE
from tasks.model.rendering import Renderer
from tasks.text.rows import Row
from tasks.train import launcher, manifests, outputs, resources
from tasks.train.data import Data, load_data
from tasks.train.halved import halved, was_halved
from tasks.train.limits import check_limits
from tasks.train.loop import fit, prepare_model
from tasks.tuning import fused
from tasks.tuning.params import ExperimentParams, TrainedParams, load_params
from tasks.tuning.prepare import count_parameters

logger = logging.getLogger("tunesmith")


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Train the experiment ``name`` with its resolved parameters; for an untrained one only describe the base."""
    started = time.time()
    params = load_params(paths.experiment(name) / "train.yaml")
    launches_others = launcher.launches_others(params)
    set_up_process(params)
    with training_lock(stage.address, paths.train_lock(name)) if launcher.holds_lock() else nullcontext():
        ensure_built(params.base_model, paths.root)
        base = find(params.base_model, paths.root)
        if not isinstance(params, TrainedParams):
            _describe_base(name, params, base, paths, stage, started)
            return
        launcher.check_shardable(params, base)
        if launches_others:
            launcher.launch(name, params, stage)
        else:
            _train(name, params, base, paths, stage, started)


def set_up_process(params: ExperimentParams) -> None:
    """Set threads, memory and the GPU of this process for a training."""
    device.use_threads(launcher.threads(params))
    device.keep_freed_memory()
    device.limit_kernel_caches()
    distributed.use_own_gpu()
    if not distributed.is_main():
        logger.setLevel(logging.ERROR)  # the main process logs for all


@contextmanager
def training_lock(address: str, path: Path) -> Iterator[None]:
    """Hold a lock of the operating system on the stage ``address``: DVC's own lock is gone once ``dvc`` is killed.

    Raises:
        TunesmithError: another process runs the stage.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_name(f"{path.name}.pid")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = note.read_text() if note.exists() else "?"
        raise TunesmithError(
            f"{address}: one process trains an experiment at a time; process {holder} does; wait for it or end it"
        ) from None
    try:
        note.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _describe_base(
    name: str, params: ExperimentParams, base: BaseModel, paths: Paths, stage: Stage, started: float
) -> None:
    renderer = Renderer(load_tokenizer(base), base.kind, params.chat_date or CHAT_DATE)
    manifest = manifests.identity(name, params, base, stage) | manifests.untrained(params, renderer, base)
    with stage.outputs(paths.model(name), paths.run(name, "train")) as (model_folder, run_folder):
        outputs.write_untrained(manifest, base, model_folder)
        outputs.write_run(run_folder, manifest, outputs.UNTRAINED_FACTS, None, paths, started, params.threads)


@dataclass(frozen=True)
class Prepared:
    """A training that is ready for its first step.

    Attributes:
        params: as used, which may be without packing.
        manifest: ``manifest.json`` as far as it is known before training.
        checkpoints: folder of the checkpoints of trainings with the same key and inputs.
        step: the planned memory of a step; None if it is not planned.
    """

    model: Any
    params: TrainedParams
    data: Data
    renderer: Renderer
    manifest: dict[str, Any]
    checkpoints: Path
    step: Step | None


def prepare_training(
    name: str,
    params: TrainedParams,
    base: BaseModel,
    paths: Paths,
    stage: Stage,
    validates: Callable[[Row], bool] = lambda row: True,
) -> Prepared:
    """Encode the data, check memory and disk, and prepare the model.

    Args:
        validates: as ``load_data``.

    Raises:
        TunesmithError: the rows break the label contract, or memory or disk is too small.
    """
    manifest = manifests.identity(name, params, base, stage)
    params = halved(params)
    renderer = Renderer(load_tokenizer(base), base.kind, params.chat_date or CHAT_DATE)
    for note in check_limits(base, renderer, params.max_length, params.beyond_context):
        logger.warning("%s: %s", name, note)
    data = load_data(name, params, renderer, paths, validates)
    step = resources.plan_memory(name, params, base, data.train, paths)
    model, params = prepare_model(params, base, data.train, renderer.tokenizer.pad_token_id)
    trainable, total = count_parameters(model)
    logger.info("%s: %d of %d parameters are trained (%.3g %%)", name, trainable, total, 100 * trainable / total)
    logger.info("%s: %s", name, fused.summary(model))
    manifest |= manifests.trained(params, renderer, base, data, trainable, total)
    checkpoints = _checkpoints(paths, manifest["key"], stage)
    resources.check_disk(checkpoints, params, trainable)
    return Prepared(model, params, data, renderer, manifest, checkpoints, step)


def _train(name: str, params: TrainedParams, base: BaseModel, paths: Paths, stage: Stage, started: float) -> None:
    tracker = _open_tracker(paths) if distributed.is_main() else None  # a store that cannot be opened fails first
    free = device.free_memory_bytes()
    ready = prepare_training(name, params, base, paths, stage)
    model, data, renderer, manifest, params = ready.model, ready.data, ready.renderer, ready.manifest, ready.params
    if tracker is None:
        with _advised(name, params, base, data, free):
            fit(model, data, params, renderer, ready.checkpoints)
        return
    with _tracked(tracker, manifest) as run_id:
        with MemoryGrowth(model, params.sharded) as growth, _advised(name, params, base, data, free):
            trainer, recorder = fit(
                model, data, params, renderer, ready.checkpoints, lambda *point: tracker.log(run_id, *point)
            )
        facts = outputs.training_facts(trainer, recorder, params) | {
            "mlflow_run_id": run_id,
            "memory": outputs.memory_facts(name, ready.step, growth.peak),
        }
        with stage.outputs(paths.model(name), paths.run(name, "train")) as (model_folder, run_folder):
            outputs.write_model(trainer, base, renderer, params, manifest, data, model_folder)
            outputs.write_run(run_folder, manifest, facts, recorder.history, paths, started, params.threads)
    files.remove(ready.checkpoints)
    if was_halved(manifest):
        files.remove(_checkpoints(paths, manifests.whole_key(manifest), stage))


def _checkpoints(paths: Paths, key: str, stage: Stage) -> Path:
    return paths.checkpoints / files.digest([key, stage.inputs])[:24]


@contextmanager
def _advised(name: str, params: TrainedParams, base: BaseModel, data: Data, free: int) -> Iterator[None]:
    """Turn memory that runs out in the block into an error with the cheapest change that fits into ``free`` bytes.

    Raises:
        MemoryShortError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        if params.launcher is None:
            advice = f"{cheapest_fit(params, base, data.train, free)} (experiments.{name} in params/experiments.yaml)"
        else:
            advice = "a training in several processes is not planned; lower training.token_budget or use more processes"
        raise MemoryShortError(
            f"memory ran out in a training step ({described(error)}); {gb(free)} GB were free before the training; "
            f"{advice}"
        ) from error


def _open_tracker(paths: Paths) -> Any:
    # Imported here, since tracking is not an input of a stage, and its code not a dependency.
    from tasks.tracking.client import open_store

    return open_store(paths.root)


@contextmanager
def _tracked(tracker: Any, manifest: dict[str, Any]) -> Iterator[str]:
    """Start a run in MLflow and yield its id; finish it with the status of the block."""
    run_id: str = tracker.start(manifest["key"], manifest["experiment"], manifest["params"])
    try:
        yield run_id
    except BaseException as error:
        tracker.finish(run_id, "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
        raise
    tracker.finish(run_id, "FINISHED")
