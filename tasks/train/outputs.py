"""What a training leaves: the model and its manifest, and what ``run.json`` says of how it was made."""

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
from tasks.tuning.params import TrainParams
from tasks.tuning.weights import load_weights

logger = logging.getLogger("tunesmith")


def whole(trainer: CompletionTrainer, base: BaseModel, params: TrainParams, steps: int) -> Any:
    """The trained model; where it is sharded anew from the best checkpoint, as other processes are gone."""
    trained: Any = trainer.model
    if not sharding.is_sharded(trained):
        return trained
    whole = methods.prepare(base, params, steps)
    load_weights(whole, trainer.best_checkpoint())
    whole.config.use_cache = trained.config.use_cache  # Trainer changes it, and one process keeps that
    return whole


def measured_of(trainer: CompletionTrainer, recorder: Recorder, params: TrainParams) -> dict[str, Any]:
    """What ``run.json`` says of the training itself."""
    assert params.training is not None
    found = {
        "tokens": trainer.tokens,
        # No time passed where a training had ended before its outputs were written.
        "tokens_per_second": trainer.tokens / recorder.seconds if recorder.seconds else None,
        "train_seconds": recorder.seconds,
        "packing": params.training.packing,  # as used: it may have been asked for in vain
    }
    if params.launcher is None:
        return found
    trained: Any = trainer.model
    shares = {"sharded": sharding.is_sharded(trained), "parameters_here": sharding.local_parameters(trained)}
    return found | {"launcher": params.launcher.model_dump() | shares}


def against_plan(name: str, step: Step | None, measured: int) -> dict[str, Any]:
    """Bytes beside the weights; ``planned`` None where it was not, ``measured`` 0 where nothing was left to train."""
    planned = step.increment if step else None
    if step and measured:
        mb = step.increment / 1e6, measured / 1e6
        logger.info("%s: memory beside the weights: %.0f MB planned, %.0f MB measured", name, *mb)
    return {"planned": planned, "measured": measured, "parts": step.peak if step else None}


def save(
    model: Any,
    renderer: Renderer,
    params: TrainParams,
    manifest: dict[str, Any],
    trainer: CompletionTrainer,
    folder: Path,
) -> None:
    folder.mkdir()
    methods.save(model, params, folder)
    if params.method == "full":
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
    """Of the weights in ``folder``."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
