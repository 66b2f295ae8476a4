"""Prepare the model of a training, and train it from its newest checkpoint."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers

from tasks.core.progress import Meter, progress
from tasks.model import distributed
from tasks.model.base_models import BaseModel
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.train import checkpoints
from tasks.train.data import Data
from tasks.train.recorder import Log, Recorder
from tasks.train.trainer import CompletionTrainer
from tasks.tuning.packing import keeps_parity
from tasks.tuning.params import TrainedParams
from tasks.tuning.prepare import prepare
from tasks.tuning.sampling import optimizer_steps

logger = logging.getLogger("tunesmith")


def prepare_model(params: TrainedParams, base: BaseModel, rows: list[Encoded], pad: int) -> tuple[Any, TrainedParams]:
    """Prepare the model, and return it with the parameters as used: without packing if that would not be exact."""
    _make_deterministic(params.seed)
    model = prepare(base, params, optimizer_steps(rows, params.training, distributed.world_size()))
    if not params.training.packing or keeps_parity(model, rows, base.kind, pad, params):
        return model, params
    del model  # unpacked batches give the training other steps, so the model is prepared again
    unpacked = params.training.model_copy(update={"packing": False})
    return prepare_model(params.model_copy(update={"training": unpacked}), base, rows, pad)


def _make_deterministic(seed: int) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    transformers.set_seed(seed)
    # On CUDA, attention chooses its deterministic kernels only if others are errors, not warnings.
    torch.use_deterministic_algorithms(True, warn_only=not torch.cuda.is_available())


def fit(
    model: Any,
    data: Data,
    params: TrainedParams,
    renderer: Renderer,
    folder: Path,
    log: Log | None = None,
) -> tuple[CompletionTrainer, Recorder]:
    """Train, resuming from the newest checkpoint in ``folder``; at the end the model has the weights of the best epoch.

    Args:
        folder: checkpoints of trainings with the same key.
        log: called with each point of the loss curve; None in processes that record nothing.
    """
    is_main = distributed.is_main()
    with progress("training", 0, "steps") if is_main else nullcontext(Meter("training", 0, "steps")) as meter:
        recorder = Recorder(folder / "history.jsonl", log, meter)
        trainer = CompletionTrainer(
            model=model,
            train=data.train,
            validation=data.validation,
            params=params,
            kind=renderer.kind,
            pad=renderer.tokenizer.pad_token_id,
            folder=folder,
            callbacks=[recorder] if is_main else [],
            labelled=data.labelled,
            validation_tasks=data.validation_tasks,
        )
        recorder.trainer = trainer
        meter.set_total(trainer.steps())
        checkpoint = _newest_checkpoint(folder)
        if checkpoint:
            logger.info("resuming from %s", checkpoint)
        trainer.fit(checkpoint)
    _warn_without_improvement(trainer)
    return trainer, recorder


def _newest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that the main process chooses; it alone removes damaged ones."""
    newest = checkpoints.last_complete(folder) if distributed.is_main() else None
    step = distributed.broadcast_from_main(int(newest.name.split("-")[1]) if newest else -1)
    return None if step < 0 else folder / f"checkpoint-{int(step)}"


def _warn_without_improvement(trainer: CompletionTrainer) -> None:
    first = next((entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry), None)
    best = trainer.state.best_metric
    if first is not None and best is not None and best >= first:
        logger.warning(
            "training must lower the validation loss; it was %.4f before and %.4f at best; lower "
            "training.learning_rate or look at the training rows",
            first,
            best,
        )
