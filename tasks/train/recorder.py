"""Record the loss curve while training runs: to a file, to the log, and live to MLflow."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.core.progress import Meter
from tasks.train.task_losses import PREFIX
from tasks.train.trainer import CompletionTrainer

logger = logging.getLogger("tunesmith")

Log = Callable[[dict[str, float], int, float], None]
"""Takes the metrics of a point of the loss curve, its step and its time."""

NAMES = {
    "loss": "train_loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "eval_loss": "validation_loss",
    "eval_accuracy": "validation_accuracy",
}


class Recorder(TrainerCallback):
    """Append each logged point to ``history`` (JSON lines: step, epoch, time and metrics).

    The metrics are those of ``NAMES`` and the losses of ``task_losses``.

    The file is beside the checkpoints while training runs, so that a resumed training continues its curve. Points
    after the step that it resumes from are dropped first.

    Args:
        history: the file.
        log: called with each point.
        meter: progress of the steps.

    Attributes:
        seconds: time in training steps, without validation and saving.
    """

    def __init__(self, history: Path, log: Log | None, meter: Meter) -> None:
        self.history, self.seconds = history, 0.0
        self.trainer: CompletionTrainer | None = None
        self._log, self._meter, self._step_started, self._note = log, meter, 0.0, ""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not self.history.exists():
            return
        points = [json.loads(line) for line in self.history.read_text().splitlines()]
        kept = [point for point in points if state.global_step > 0 and point["step"] <= state.global_step]
        self.history.write_text("".join(json.dumps(point) + "\n" for point in kept))
        self._meter.advance(state.global_step, "resumed")

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._step_started = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.seconds += time.perf_counter() - self._step_started
        self._meter.advance(1, self._note)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        metrics = {
            NAMES.get(name, name): value
            for name, value in (logs or {}).items()
            if name in NAMES or name.startswith(PREFIX)
        }
        if not metrics:
            return
        if "train_loss" in metrics and self.seconds and self.trainer is not None:
            metrics["tokens_per_second"] = self.trainer.tokens / self.seconds
        if "validation_loss" in metrics:
            logger.info("step %d: validation loss %.4f", state.global_step, metrics["validation_loss"])
        else:
            self._note = f"loss {metrics['train_loss']:.3f}"
        now = time.time()
        with self.history.open("a") as file:
            file.write(
                json.dumps({"step": state.global_step, "epoch": state.epoch or 0.0, "time": now, **metrics}) + "\n"
            )
        if self._log is not None:
            self._log(metrics, state.global_step, now)
