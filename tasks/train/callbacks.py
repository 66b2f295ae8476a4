"""Callbacks of ``Trainer``: early stopping, checkpoints within an epoch, and the loss curve of a resumed training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tasks.core import files

if TYPE_CHECKING:
    from tasks.train.trainer import CompletionTrainer

UNLOGGED_LOSS = "loss_since.json"
"""File of a checkpoint: ``loss`` since the last log line, and the step of that line (``logged``)."""


def epochs_without_improvement(log: list[dict[str, Any]]) -> int:
    """Count the epochs since the lowest validation loss in ``log_history`` of a ``TrainerState``."""
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry and entry["step"] > 0]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


class EarlyStopping(TrainerCallback):
    """Stop after ``patience`` epochs without improvement.

    It counts from the log, which a checkpoint holds. The callback of ``transformers`` has a counter of its own, which
    would start again in a resumed training.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if epochs_without_improvement(state.log_history) >= self._patience:
            control.should_training_stop = True


class CheckpointEvery(TrainerCallback):
    """Take a checkpoint every ``steps`` steps.

    Skip steps that end an epoch or the run: those are checkpointed after validation.
    """

    def __init__(self, steps: int, steps_per_epoch: int, last_step: int) -> None:
        self._steps, self._steps_per_epoch, self._last_step = steps, steps_per_epoch, last_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        if step % self._steps == 0 and step % self._steps_per_epoch and step != self._last_step:
            control.should_save = True


class UnloggedLoss(TrainerCallback):
    """Restore the loss since the last log line when a training resumes.

    ``Trainer`` does not checkpoint it, so the next point of the curve would differ.
    """

    def __init__(self, trainer: CompletionTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step > 0:
            unlogged = files.read_json(self._trainer.folder / f"checkpoint-{state.global_step}" / UNLOGGED_LOSS)
            self._trainer._tr_loss += unlogged["loss"]
            self._trainer._globalstep_last_logged = unlogged["logged"]
