"""What happens between the steps of a training: when a checkpoint is taken, when it stops, what a resume must know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

if TYPE_CHECKING:
    pass


def epochs_without_better(log: list[dict[str, Any]]) -> int:
    """Epochs since the one with the lowest validation loss, from ``log_history`` of a ``TrainerState``."""
    losses = [entry["eval_loss"] for entry in log if "eval_loss" in entry and entry["step"] > 0]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


class EarlyStopping(TrainerCallback):
    """Counts in the log and not, as the one of ``transformers``, in itself: so it outlives a resume."""

    def __init__(self, patience: int) -> None:
        self._patience = patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if epochs_without_better(state.log_history) >= self._patience:
            control.should_training_stop = True


class CheckpointEvery(TrainerCallback):
    """Not at a step that ends an epoch or the training: its checkpoint is taken after the validation that follows, and
    one without it would be gone on from as if there had been none."""

    def __init__(self, steps: int, epoch: int, last: int) -> None:
        self._steps, self._epoch, self._last = steps, epoch, last

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        step = state.global_step
        if step % self._steps == 0 and step % self._epoch and step != self._last:
            control.should_save = True
