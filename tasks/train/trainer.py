"""``transformers.Trainer`` with loss on supervised tokens, batches by token budget, and validation over all rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from tasks.core import device, files
from tasks.core.errors import DivergedError
from tasks.model import distributed
from tasks.model.batches import collate
from tasks.model.encoded import IGNORED, Encoded
from tasks.model.likelihood import likelihood, supervised_logits
from tasks.train import checkpoints, sharding
from tasks.train.callbacks import (
    UNLOGGED_LOSS,
    CheckpointEvery,
    EarlyStopping,
    UnloggedLoss,
    epochs_without_improvement,
)
from tasks.train.task_losses import task_losses
from tasks.tuning import methods, weights
from tasks.tuning.loss import summed_cross_entropy
from tasks.tuning.packing import collate_packed, packed_logits
from tasks.tuning.params import LoopParams, TrainedParams
from tasks.tuning.sampling import Rows, optimizer_steps, rank_batches

# They warn about keys that the best weights lack (output layers tied to the embeddings), and about file times.
for _name in ("transformers.trainer", "transformers.trainer_utils"):
    logging.getLogger(_name).setLevel(logging.ERROR)


class CompletionTrainer(Trainer):
    """Trains on completions and their end token only.

    Args:
        validation_tasks: ``SOURCE/TASK`` of each row of ``validation``; without it they count as one task.

    Attributes:
        folder: folder of the checkpoints.
        tokens: number of input tokens that all processes have read since this process started; padding does not
            count.
    """

    def __init__(
        self,
        model: Any,
        train: list[Encoded],
        validation: list[Encoded],
        params: TrainedParams,
        kind: str,
        pad: int,
        folder: Path,
        callbacks: list[TrainerCallback],
        labelled: bool,
        validation_tasks: Sequence[str] = (),
    ) -> None:
        self._params, self._loop, self._kind, self._pad = params, params.training, kind, pad
        self._train, self._validation, self._labelled = train, validation, labelled
        self._validation_tasks = validation_tasks or [""] * len(validation)
        self.folder = folder
        self.tokens = self._local_tokens = 0
        own: list[TrainerCallback] = [UnloggedLoss(self)]
        if params.training.early_stopping_patience is not None:
            own.append(EarlyStopping(params.training.early_stopping_patience))
        if params.training.checkpoint_steps is not None:
            one_epoch = params.training.model_copy(update={"epochs": 1, "max_steps": None})
            steps_per_epoch = optimizer_steps(train, one_epoch, distributed.world_size())
            own.append(CheckpointEvery(params.training.checkpoint_steps, steps_per_epoch, self.steps()))
        self._pruning = methods.named(params.method).pruning(model)
        if self._pruning:
            own.append(self._pruning)
        super().__init__(
            model=model,
            args=_arguments(params, params.training, folder, self.steps()),
            train_dataset=Rows(train),
            eval_dataset=Rows(validation),
            data_collator=self._collate,
            callbacks=[*callbacks, *own],
        )
        self.remove_callback(PrinterCallback)  # it prints what the recorder logs
        # compute_loss divides by the supervised tokens of the whole accumulation. Trainer counts them only for models
        # that take loss arguments.
        self.model_accepts_loss_kwargs = True

    def steps(self) -> int:
        """Count the optimizer steps of the whole training."""
        return optimizer_steps(self._train, self._loop, distributed.world_size())

    def create_accelerator_and_postprocess(self) -> None:
        with sharding.fsdp_on_cpu(self._params.sharded):
            super().create_accelerator_and_postprocess()

    def _prepare_for_training(self, *args: Any, **kwargs: Any) -> Any:
        prepared = super()._prepare_for_training(*args, **kwargs)
        sharding.check_sharding(self.model, self._params.sharded)
        return prepared

    def fit(self, checkpoint: Path | None) -> None:
        """Train, resuming from ``checkpoint`` if it is given, and load the weights of the best epoch.

        The checkpoint of a finished training is not trained further: ``train`` would make one more step.
        """
        if distributed.rank():
            torch.manual_seed(self._params.seed + distributed.rank())  # other dropout in each process
        if checkpoint is None:
            self.train()
            return
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        patience = self._loop.early_stopping_patience
        stopped = patience is not None and epochs_without_improvement(state.log_history) >= patience
        if stopped or state.global_step >= self.steps():
            self.state = state
            self._load_best_model()
            return
        self.args.eval_on_start = False  # the log has its value already
        self.train(resume_from_checkpoint=str(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        partial, name = self.folder / "partial", f"checkpoint-{self.state.global_step}"
        if distributed.is_main():
            files.remove(partial)
        distributed.barrier()
        self.args.output_dir = str(partial)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.output_dir = str(self.folder)
        best = self.state.best_global_step or None
        if best:
            self.state.best_model_checkpoint = str(self.folder / f"checkpoint-{best}")
        # This waits for all processes: each has written its random state then.
        loss = distributed.all_mean(self._tr_loss.item())
        if distributed.is_main():
            self._seal_checkpoint(partial, name, loss)
        distributed.barrier()

    def _seal_checkpoint(self, partial: Path, name: str, loss: float) -> None:
        unlogged = {"loss": loss, "logged": self._globalstep_last_logged}
        files.write_json(partial / name / UNLOGGED_LOSS, unlogged)
        if self._pruning:
            self._pruning.save(partial / name)
        checkpoints.seal(partial / name, self.folder / name)
        files.remove(partial)
        checkpoints.keep(self.folder, self._loop.checkpoints_kept)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self._params.sharded:
            sharding.save_optimizer(self, output_dir)
        else:
            super()._save_optimizer_and_scheduler(output_dir)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not distributed.is_main():
            return
        folder = Path(output_dir or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        weights.save_weights(self.model, folder / weights.WEIGHTS, state_dict if self._params.sharded else None)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        weights.load_weights(self.model, Path(resume_from_checkpoint))
        if self._pruning:
            self._pruning.load(Path(resume_from_checkpoint))

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        if self._pruning and not self._pruning.ended(self.state.global_step):
            return False  # ranks are still to be pruned: this is not the model that the parameters describe
        return bool(super()._determine_best_metric(metrics, trial))

    def _load_best_model(self) -> None:
        weights.load_weights(self.model, self.best_checkpoint())

    def best_checkpoint(self) -> Path:
        """Return the folder of the checkpoint with the lowest validation loss."""
        return self.folder / f"checkpoint-{self.state.best_global_step}"

    def get_train_dataloader(self) -> DataLoader[Any]:
        batches = rank_batches(self._train, self._loop, self._params.seed)
        loader: DataLoader[Any] = DataLoader(Rows(self._train), batch_sampler=batches, collate_fn=self.data_collator)
        # Not with the accelerator's own method, which would divide the batches among the processes once more.
        return prepare_data_loader(
            loader, self.accelerator.device, num_processes=1, process_index=0, put_on_device=True
        )

    def _collate(self, rows: list[Encoded]) -> dict[str, Tensor]:
        """Make a batch of ``rows``; without rows, a batch without supervised tokens.

        Every process must compute a batch, or the others would wait for it.
        """
        members = rows or [min(self._train, key=len)]
        packed = self._loop.packing
        batch = collate_packed(members, self._kind) if packed else collate(members, self._kind, self._pad)
        return batch if rows else batch | {"labels": torch.full_like(batch["labels"], IGNORED)}

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        logits_of = packed_logits if self._loop.packing else supervised_logits
        logits, targets, _ = logits_of(model, inputs, self._kind)
        total = summed_cross_entropy(logits, targets)
        loss = total / (num_items_in_batch if num_items_in_batch is not None else targets.numel())
        # Gradients are averaged over the processes, whereas the divisor counts the tokens of all of them.
        return loss * self.accelerator.num_processes

    def training_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        loss = super().training_step(model, inputs, *args, **kwargs)
        if self._pruning and self.accelerator.sync_gradients:
            self._pruning.penalty().backward()  # once per optimizer step, and no part of the loss curve
        if (supervised := inputs["labels"] >= 0).any():
            self._local_tokens += int(inputs["attention_mask"].sum())
            if self._kind == "seq2seq":
                self._local_tokens += int(supervised.sum())
        if self.accelerator.sync_gradients:
            self.tokens += distributed.all_sum(self._local_tokens)
            self._local_tokens = 0
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Compute the validation loss over *all* rows, in nats per supervised token.

        Log it, with the loss of each task if there are several, and with the accuracy if completions are labels.
        """
        result = likelihood(
            self.model,
            self._validation,
            self._kind,
            self._pad,
            self._loop.token_budget,
            device.autocast(self._loop.precision),
        )
        # Either all processes stop early or none, although their processors may round differently.
        loss = distributed.broadcast_from_main(result.loss)
        if not math.isfinite(loss):
            raise DivergedError(
                f"step {self.state.global_step}: the validation loss must be finite; it is {loss}, as the training "
                "diverged; lower training.learning_rate in params/training.yaml or params/experiments.yaml"
            )
        # The main process alone records them, and computes them from the same rows as its ``loss``.
        metrics = {"eval_loss": loss, **task_losses(result, self._validation_tasks)}
        if self._labelled:
            metrics["eval_accuracy"] = result.accuracy
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def _arguments(params: TrainedParams, loop: LoopParams, folder: Path, steps: int) -> TrainingArguments:
    method = methods.named(params.method)
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=loop.learning_rate,
        num_train_epochs=loop.epochs,
        # For a larger number Trainer would train more epochs than ``epochs``.
        max_steps=steps if loop.max_steps is not None else -1,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(loop.schedule, loop.schedule),
        warmup_steps=loop.warmup_fraction,
        weight_decay=loop.weight_decay,
        max_grad_norm=loop.max_grad_norm,
        gradient_accumulation_steps=loop.accumulation,
        # QLoRA's paged optimizer: moments leave a GPU whose memory is short.
        optim=method.optimizer_on_gpu if torch.cuda.is_available() else "adamw_torch_fused",
        bf16=device.use_bf16(loop.precision),
        use_cpu=not torch.cuda.is_available(),
        seed=params.seed,
        data_seed=params.seed,
        eval_strategy="epoch",
        eval_on_start=True,
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_strategy="steps",
        logging_steps=loop.log_every,
        logging_first_step=True,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,  # every step uses every trained weight
    )
    # Trainer would split every batch over all GPUs, but each experiment has a lease for one.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments
