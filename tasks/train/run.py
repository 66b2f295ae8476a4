"""``train@X``: a mixture and a base model → ``models/X/`` (weights, ``manifest.json``) and ``runs/X/train/``."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from filelock import FileLock, Timeout

from tasks.core import device, files
from tasks.core.errors import TunesmithError, described
from tasks.core.facts import facts
from tasks.core.paths import Paths
from tasks.core.progress import Meter, progress
from tasks.core.stage import Stage
from tasks.memory.fit import check_fit
from tasks.memory.growth import MemoryGrowth
from tasks.memory.params import load_limits
from tasks.memory.simulate import Step
from tasks.memory.training_plan import plan_training
from tasks.model import distributed
from tasks.model.base_models import BaseModel, find, load_tokenizer
from tasks.model.rendering import Encoded, Renderer, fingerprint, templates_of
from tasks.text.rows import Row
from tasks.text.training_rows import write_training_rows
from tasks.train import checkpoints as saved
from tasks.train import launcher, outputs
from tasks.train.contract import encode_rows, summary
from tasks.train.recorder import Recorder
from tasks.train.trainer import CompletionTrainer
from tasks.tuning import fused, methods
from tasks.tuning.packing import keeps_parity
from tasks.tuning.params import ExperimentParams, TrainedParams, load_params
from tasks.tuning.prepare import count_parameters, prepare
from tasks.tuning.sampling import optimizer_steps

logger = logging.getLogger("tunesmith")

# Whose version can change a number.
LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "accelerate")


def run(name: str, paths: Paths, stage: Stage) -> None:
    """Train the experiment ``name`` as its resolved parameters say, or only describe the base for ``none``."""
    params = load_params(paths.experiment(name) / "train.yaml")
    launches = launcher.launches_others(params)
    device.use_threads(launcher.threads(params))
    device.keep_freed_memory()
    device.limit_kernel_caches()
    distributed.use_own_gpu()
    if not distributed.is_main():
        logger.setLevel(logging.ERROR)  # the main one says what all do
    started = time.time()
    with _only_trainer_of(name, paths) if launcher.holds_lock() else nullcontext():
        base = find(params.base_model, paths.root)
        if not isinstance(params, TrainedParams):
            _write_untrained(name, params, base, _manifest(name, params, base, stage), paths, stage, started)
            return
        launcher.check_shardable(params, base)
        if launches:
            launcher.launch(name, params, stage)
            return
        _train(name, params, base, _manifest(name, params, base, stage), paths, stage, started)


@contextmanager
def _only_trainer_of(name: str, paths: Paths) -> Iterator[None]:
    """An operating system's lock: DVC's own no longer blocks once ``dvc`` was killed."""
    path = paths.state / "locks" / f"train-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_name(f"{path.name}.pid")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = note.read_text() if note.exists() else "?"
        raise TunesmithError(
            f"train@{name}: one process trains an experiment at a time; process {holder} does; wait for it or end it"
        ) from None
    try:
        note.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _manifest(name: str, params: ExperimentParams, base: BaseModel, stage: Stage) -> dict[str, Any]:
    """What is known before training. ``key`` names the result in all ledgers: equal keys, equal weights."""
    inputs: dict[str, str] = {}
    precision: device.Precision = "auto"
    if isinstance(params, TrainedParams):
        inputs, precision = stage.data_inputs(), params.training.precision
    versions = {library: version(library) for library in (*LIBRARIES, *methods.named(params.method).libraries)}
    known = {
        "params": params.model_dump(exclude_none=True),
        "base_model": base.record(),
        "inputs": inputs,
        "versions": versions,
        "computed": {"device": device.device().type, "bf16": device.use_bf16(precision)},
    }
    return {"schema": 1, "experiment": name, "method": params.method, "key": files.digest(known), **known}


def _write_untrained(
    name: str,
    params: ExperimentParams,
    base: BaseModel,
    manifest: dict[str, Any],
    paths: Paths,
    stage: Stage,
    started: float,
) -> None:
    renderer = Renderer(load_tokenizer(base), base.kind)
    manifest |= {
        "fingerprint": fingerprint(renderer, params.max_length, [], params.truncate),
        "templates": {},
        "tasks": [],
        "weights_sha256": None,
        "weights_bytes": 0,
        "base_bytes": outputs.weights_bytes(base.folder),
        "trainable_parameters": 0,
        "total_parameters": None,
        "best": None,
        "contract": None,
    }
    with stage.outputs(paths.model(name), paths.run(name, "train")) as (model, run_folder):
        model.mkdir()
        run_folder.mkdir()
        files.write_json(model / "manifest.json", manifest)
        write_training_rows(model, [], base.folder)
        (run_folder / "history.jsonl").touch()
        now = {
            "experiment": name,
            "key": manifest["key"],
            "tokens": 0,
            "tokens_per_second": None,
            "mlflow_run_id": None,
            "memory": None,
        }
        files.write_json(run_folder / "run.json", facts(paths.root, started, time.time(), params.threads) | now)


def _train(
    name: str,
    params: TrainedParams,
    base: BaseModel,
    manifest: dict[str, Any],
    paths: Paths,
    stage: Stage,
    started: float,
) -> None:
    tracker = _tracker(paths) if distributed.is_main() else None
    renderer = Renderer(load_tokenizer(base), base.kind)
    rows = files.read_rows(paths.mixture(params.mixture) / "train.parquet")
    train, contract = encode_rows(rows, renderer, params, "train")
    watched = files.read_rows(paths.mixture(params.mixture) / "validation.parquet")
    validation, validation_contract = encode_rows(watched, renderer, params, "validation")
    logger.info(summary(name, "train", contract))
    logger.info(summary(name, "validation", validation_contract))
    step = _planned(name, params, base, train, paths)
    model, params = _prepared(base, params, train, renderer.tokenizer.pad_token_id)
    steps = optimizer_steps(train, params.training, distributed.world_size())
    trainable, total = count_parameters(model)
    logger.info("%s: %d of %d parameters are trained (%.3g %%)", name, trainable, total, 100 * trainable / total)
    logger.info("%s: %s", name, fused.summary(model))
    manifest |= {
        "fingerprint": fingerprint(renderer, params.max_length, rows, params.truncate),
        "templates": templates_of(rows),
        "tasks": sorted({row["task"] for row in rows}),
        "base_bytes": outputs.weights_bytes(base.folder),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "contract": {"train": contract, "validation": validation_contract},
    }
    checkpoints = paths.checkpoints / files.digest([manifest["key"], stage.inputs])[:24]
    _refuse_full_disk(checkpoints, params, trainable)
    if tracker is None:
        _fit(model, train, validation, params, renderer, checkpoints, None, "", watched)
        return
    run_id = tracker.start(manifest["key"], name, manifest["params"])
    try:
        with MemoryGrowth(model, params.sharded) as growth:
            trainer, recorder = _fit(model, train, validation, params, renderer, checkpoints, tracker, run_id, watched)
        with stage.outputs(paths.model(name), paths.run(name, "train")) as (folder, run_folder):
            outputs.save(outputs.unsharded(trainer, base, params, steps), renderer, params, manifest, trainer, folder)
            write_training_rows(folder, rows, base.folder)
            volatile = outputs.training_facts(trainer, recorder, params) | {
                "experiment": name,
                "key": manifest["key"],
                "mlflow_run_id": run_id,
                "memory": outputs.memory_facts(name, step, growth.peak),
            }
            run_folder.mkdir()
            shutil.copy(recorder.history, run_folder / "history.jsonl")
            files.write_json(
                run_folder / "run.json", facts(paths.root, started, time.time(), params.threads) | volatile
            )
    except BaseException as error:
        tracker.finish(run_id, "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED")
        raise
    tracker.finish(run_id, "FINISHED")
    files.remove(checkpoints)


def _planned(name: str, params: TrainedParams, base: BaseModel, train: list[Encoded], paths: Paths) -> Step | None:
    """Plan the largest step and check that it fits into the free memory.

    Return None for several processes, each of which may hold only a share. Return None with a warning if this model's
    code does not run on tensors without storage.

    Raises:
        TunesmithError: the step is clearly too large for the free memory.
    """
    if params.launcher is not None:
        return None
    try:
        step = plan_training(params, base, train)
    except TunesmithError:
        raise
    except Exception as error:  # code of a hub model may read values, which tensors without storage do not have
        logger.warning("%s: memory is not planned: %s", name, described(error))
        return None
    limits = load_limits(paths.params / "training.yaml")
    check_fit(step, device.free_memory_bytes(), limits, name, params, base, train)
    return step


def _tracker(paths: Paths) -> Any:
    # Imported here: tracking is no input of a stage, and its code no dependency.
    from tasks.tracking.client import open_store

    return open_store(paths.root)


def _prepared(base: BaseModel, params: TrainedParams, train: list[Encoded], pad: int) -> tuple[Any, TrainedParams]:
    """The model before training, and the parameters as they are used: without packing where it would not be exact."""
    _make_deterministic(params.seed)
    model = prepare(base, params, optimizer_steps(train, params.training, distributed.world_size()))
    if not params.training.packing or keeps_parity(model, train, base.kind, pad, params):
        return model, params
    del model  # prepared anew: unpacked batches are others, so the training has other steps
    unpacked = params.training.model_copy(update={"packing": False})
    return _prepared(base, params.model_copy(update={"training": unpacked}), train, pad)


def _make_deterministic(seed: int) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    transformers.set_seed(seed)
    # On CUDA, attention has deterministic kernels that it takes only when a warning is not enough.
    torch.use_deterministic_algorithms(True, warn_only=not torch.cuda.is_available())


def _refuse_full_disk(checkpoints: Path, params: TrainedParams, trainable: int) -> None:
    """Refuse a disk that cannot hold the checkpoints that are kept, the best one and the one that is being written."""
    numbers = methods.named(params.method).checkpoint_numbers
    needed = 4 * numbers * trainable * (params.training.checkpoints_kept + 2) + 4 * trainable
    checkpoints.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(checkpoints).free
    if free < needed:
        raise TunesmithError(
            f"{checkpoints}: training needs {needed / 1e9:.1f} GB of free disk for checkpoints and weights; "
            f"{free / 1e9:.1f} GB are free; free space (`tunesmith clean`, `dvc gc -w`) or lower "
            "training.checkpoints_kept"
        )


def _fit(
    model: Any,
    train: list[Encoded],
    validation: list[Encoded],
    params: TrainedParams,
    renderer: Renderer,
    checkpoints: Path,
    tracker: Any,
    run_id: str,
    watched: list[Row],
) -> tuple[CompletionTrainer, Recorder]:
    """Train, from the last checkpoint of the same key if there is one; the best weights are loaded at the end."""
    with progress("training", 0) if distributed.is_main() else nullcontext(Meter("training", 0)) as meter:
        recorder = Recorder(
            checkpoints / "history.jsonl",
            lambda metrics, step, moment: tracker.log(run_id, metrics, step, moment),
            meter,
        )
        trainer = CompletionTrainer(
            model=model,
            train=train,
            validation=validation,
            params=params,
            kind=renderer.kind,
            pad=renderer.tokenizer.pad_token_id,
            folder=checkpoints,
            callbacks=[recorder] if distributed.is_main() else [],
            labelled=any(row["answer_choices"] for row in watched),
        )
        recorder.trainer = trainer
        meter.set_total(trainer.steps())
        last = _last_complete(checkpoints)
        if last:
            logger.info("resuming from %s", last)
        trainer.fit(last)
    first = next((e["eval_loss"] for e in trainer.state.log_history if "eval_loss" in e), None)
    best = trainer.state.best_metric
    if first is not None and best is not None and best >= first:
        logger.warning("training did not lower the validation loss (%.4f before, %.4f best)", first, best)
    return trainer, recorder


def _last_complete(folder: Path) -> Path | None:
    """What the main process found; it alone removes what is damaged."""
    found = saved.last_complete(folder) if distributed.is_main() else None
    step = distributed.broadcast_from_main(int(found.name.split("-")[1]) if found else -1)
    return None if step < 0 else folder / f"checkpoint-{int(step)}"
