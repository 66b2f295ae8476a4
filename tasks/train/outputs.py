"""Outputs of a training: the model, its manifest, and the facts in ``run.json``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.memory.simulate import Step
from tasks.model.base_models import BaseModel
from tasks.model.rendering import Renderer
from tasks.train import sharding
from tasks.train.recorder import Recorder
from tasks.train.trainer import CompletionTrainer
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams
from tasks.tuning.prepare import prepare
from tasks.tuning.weights import load_weights

logger = logging.getLogger("tunesmith")


def unsharded(trainer: CompletionTrainer, base: BaseModel, params: TrainedParams, steps: int) -> Any:
    """Return the trained model; load a sharded one from the best checkpoint, since the other processes have ended."""
    trained: Any = trainer.model
    if not sharding.is_sharded(trained):
        return trained
    model = prepare(base, params, steps)
    load_weights(model, trainer.best_checkpoint())
    model.config.use_cache = trained.config.use_cache  # Trainer changes it, also in a single process
    return model


def training_facts(trainer: CompletionTrainer, recorder: Recorder, params: TrainedParams) -> dict[str, Any]:
    """Build the part of ``run.json`` that describes the training itself."""
    facts = {
        "tokens": trainer.tokens,
        # A resumed training may have nothing left to train, and then takes no time.
        "tokens_per_second": trainer.tokens / recorder.seconds if recorder.seconds else None,
        "train_seconds": recorder.seconds,
        "packing": params.training.packing,  # as used: it switches itself off where it would not be exact
    }
    if params.launcher is None:
        return facts
    trained: Any = trainer.model
    shares = {"sharded": sharding.is_sharded(trained), "parameters_here": sharding.local_parameters(trained)}
    return facts | {"launcher": params.launcher.model_dump() | shares}


def memory_facts(name: str, step: Step | None, measured: int) -> dict[str, Any]:
    """Build the part of ``run.json`` that compares planned and measured memory, in bytes besides the weights.

    ``planned`` is None if nothing was planned; ``measured`` is 0 if nothing was left to train.
    """
    planned = step.increment if step else None
    if step and measured:
        mb = step.increment / 1e6, measured / 1e6
        logger.info("%s: memory besides the weights: %.0f MB planned, %.0f MB measured", name, *mb)
    return {"planned": planned, "measured": measured, "parts": step.peak if step else None}


def save(
    model: Any,
    renderer: Renderer,
    params: TrainedParams,
    manifest: dict[str, Any],
    trainer: CompletionTrainer,
    folder: Path,
) -> None:
    """Write the weights that were trained and ``manifest.json`` into a new ``folder``."""
    folder.mkdir()
    method = methods.named(params.method)
    method.save(model, params, folder)
    if method.saves_whole_model:
        renderer.tokenizer.save_pretrained(folder)
    weights = sorted(folder.glob("*.safetensors"))
    manifest["weights_sha256"] = files.digest([files.sha256(path) for path in weights])
    manifest["weights_bytes"] = weights_bytes(folder)
    step = trainer.state.best_global_step or trainer.state.global_step
    manifest["best"] = {
        "step": step,
        "epoch": next((e["epoch"] for e in trainer.state.log_history if e["step"] == step), None),
        "validation_loss": trainer.state.best_metric,
    }
    files.write_json(folder / "manifest.json", manifest)


def weights_bytes(folder: Path) -> int:
    """Sum the sizes of the weight files in ``folder``."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
