"""Outputs of a training: the model, its manifest, and the facts in ``run.json``."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.facts import facts
from tasks.core.paths import Paths
from tasks.memory.simulate import Step
from tasks.model.base_models import BaseModel
from tasks.model.registered import files_hash
from tasks.model.rendering import Renderer
from tasks.model.stops import name_stops
from tasks.text.training_rows import write_training_rows
from tasks.train import sharding
from tasks.train.data import Data
from tasks.train.manifests import weights_bytes
from tasks.train.recorder import Recorder
from tasks.train.trainer import CompletionTrainer
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams
from tasks.tuning.prepare import prepare
from tasks.tuning.weights import load_weights

logger = logging.getLogger("tunesmith")


def unsharded(trainer: CompletionTrainer, base: BaseModel, params: TrainedParams) -> Any:
    """Return the trained model; load a sharded one from the best checkpoint, since the other processes have ended."""
    trained: Any = trainer.model
    if not sharding.is_sharded(trained):
        return trained
    model = prepare(base, params, trainer.steps())
    load_weights(model, trainer.best_checkpoint())
    model.config.use_cache = trained.config.use_cache  # Trainer changes it, also in a single process
    return model


def training_facts(trainer: CompletionTrainer, recorder: Recorder, params: TrainedParams) -> dict[str, Any]:
    """Build the part of ``run.json`` that describes the training itself."""
    result = {
        "tokens": trainer.tokens,
        # A resumed training may have nothing left to train, and then takes no time.
        "tokens_per_second": trainer.tokens / recorder.seconds if recorder.seconds else None,
        "train_seconds": recorder.seconds,
        "packing": params.training.packing,  # as used: packing switches itself off if it would not be exact
    }
    if params.launcher is None:
        return result
    trained: Any = trainer.model
    shares = {"sharded": sharding.is_sharded(trained), "parameters_here": sharding.local_parameters(trained)}
    return result | {"launcher": params.launcher.model_dump() | shares}


def memory_facts(name: str, step: Step | None, measured: int) -> dict[str, Any]:
    """Build the part of ``run.json`` that compares planned and measured memory, in bytes besides the weights.

    ``planned`` is None if nothing was planned; ``measured`` is 0 if nothing was left to train.
    """
    planned = step.increment if step else None
    if step and measured:
        mb = step.increment / 1e6, measured / 1e6
        logger.info("%s: memory besides the weights: %.0f MB planned, %.0f MB measured", name, *mb)
    return {"planned": planned, "measured": measured, "parts": step.peak if step else None}


def write_model(
    trainer: CompletionTrainer,
    base: BaseModel,
    renderer: Renderer,
    params: TrainedParams,
    manifest: dict[str, Any],
    data: Data,
    folder: Path,
) -> None:
    """Write the trained weights, ``manifest.json`` and the training rows into a new ``folder``."""
    folder.mkdir()
    method = methods.named(params.method)
    model = unsharded(trainer, base, params)
    if method.saves_whole_model:
        name_stops(model, renderer)
    method.save(model, params, folder)
    if method.saves_whole_model:
        renderer.tokenizer.save_pretrained(folder)
    step = trainer.state.best_global_step or trainer.state.global_step
    manifest |= {
        "weights_sha256": files_hash(folder),
        "weights_bytes": weights_bytes(folder),
        "best": {
            "step": step,
            "epoch": next((e["epoch"] for e in trainer.state.log_history if e["step"] == step), None),
            "validation_loss": trainer.state.best_metric,
        },
    }
    files.write_json(folder / "manifest.json", manifest)
    write_training_rows(folder, data.rows, base.folder)


def write_untrained(manifest: dict[str, Any], base: BaseModel, folder: Path) -> None:
    """Write ``manifest.json`` and no training rows into a new ``folder``."""
    folder.mkdir()
    files.write_json(folder / "manifest.json", manifest)
    write_training_rows(folder, [], base.folder)


UNTRAINED_FACTS = {"tokens": 0, "tokens_per_second": None, "mlflow_run_id": None, "memory": None}
"""The part of ``run.json`` that describes the training, for an experiment that trains nothing."""


def write_run(
    folder: Path,
    manifest: dict[str, Any],
    training: dict[str, Any],
    history: Path | None,
    paths: Paths,
    started: float,
    threads: int,
) -> None:
    """Write ``run.json`` and ``history.jsonl`` into a new ``folder``.

    Args:
        training: facts about the training.
        history: the loss curve; None if nothing was trained.
        started: when the stage started.
    """
    folder.mkdir()
    if history is None:
        (folder / "history.jsonl").touch()
    else:
        shutil.copy(history, folder / "history.jsonl")
    run = facts(paths.root, started, time.time(), threads) | training
    files.write_json(folder / "run.json", run | {"experiment": manifest["experiment"], "key": manifest["key"]})
