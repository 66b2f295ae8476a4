"""Parameters of training. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.core.params import Params
from tasks.model.base_models import BaseModelParams
from tasks.tuning.method_params import (
    METHODS,
    AdaloraParams,
    AdapterParams,
    Ia3Params,
    LoraParams,
    PrefixTuningParams,
    PromptTuningParams,
    PTuningParams,
    QuantisationParams,
    SelectiveParams,
)

Method = Literal[
    "none",
    "full",
    "selective",
    "lora",
    "adalora",
    "adapter",
    "ia3",
    "prompt_tuning",
    "prefix_tuning",
    "p_tuning",
    "qlora",
]

SHARDED = ("full", "selective", "lora")
"""Methods that FSDP has been tried with."""


class LoopParams(Params):
    """``training``: the loop, the same for every method.

    Attributes:
        learning_rate: peak of the schedule.
        epochs: passes over the training rows.
        max_steps: ends before the epochs do; None lets them end.
        schedule: of the learning rate after the warm-up.
        warmup_fraction: share of all steps in which the learning rate rises.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to it.
        token_budget: most tokens in a batch, padding included, virtual tokens of a soft prompt not.
        packing: rows of a batch stand in one sequence without padding, so that more fit in ``token_budget``; ignored
            with a warning where a row would not be predicted as it is alone.
        activation_checkpointing: activations are computed again in the backward pass: less memory, more time.
        accumulation: batches an optimizer step.
        early_stopping_patience: epochs without a better validation loss after which training stops; None never.
        precision: ``bf16`` is autocast: what is trained and the optimizer stay fp32, frozen matrices are kept in bf16.
            ``auto`` where the processor has it.
        log_every: steps between two points of the loss curve.
        checkpoint_steps: steps between two checkpoints, beside that at the end of each epoch; None takes only those.
        checkpoints_kept: of the last ones, beside the best; where the last is damaged, one before it is gone on from.
    """

    learning_rate: float = Field(gt=0)
    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_fraction: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    token_budget: int = Field(default=2048, ge=16)
    packing: bool = False
    activation_checkpointing: bool = False
    accumulation: int = Field(default=1, ge=1)
    early_stopping_patience: int | None = Field(default=None, ge=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    log_every: int = Field(default=5, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    checkpoints_kept: int = Field(default=2, ge=1)


class LauncherParams(Params):
    """``launcher``: several processes train one model; ``docs/distributed.md``.

    Attributes:
        processes: of all nodes together, each with its own batches; 1 trains in the stage's own process.
        strategy: ``ddp``: each has the whole model; ``fsdp``: each has a share of every weight, gradient and moment.
        nodes: machines that the processes are spread over evenly.
    """

    processes: int = Field(default=1, ge=1)
    strategy: Literal["ddp", "fsdp"] = "ddp"
    nodes: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _same_on_each_node(self) -> Self:
        if self.processes % self.nodes:
            raise ValueError(
                f"processes must be a multiple of nodes, as each node runs as many; {self.processes} are not one of "
                f"{self.nodes}; correct one of them"
            )
        return self


class TrainParams(Params):
    """``build/experiments/X/train.yaml``: only what the experiment X uses.

    Attributes:
        method: ``none`` evaluates the base model as it is.
        mixture: of ``params/mixtures.yaml``.
        max_length: most tokens of a training row; in the rendering fingerprint.
        max_dropped: share of training rows that may be dropped for their length before the step stops.
        truncate: side from which the prompt of a row that is too long is cut; None drops such a row.
        threads: of the processor, shared out among the processes of a node; recorded, since sums depend on it.
        seed: of initial weights, order and dropout.
        launcher: None where the training is one process.
    """

    method: Method
    mixture: str
    base_model: BaseModelParams
    max_length: int = Field(default=1024, ge=8)
    max_dropped: float = Field(default=0.05, ge=0, le=1)
    truncate: Literal["left", "right"] | None = None
    threads: int = Field(default=2, ge=1)
    seed: int = 0
    training: LoopParams | None = None
    launcher: LauncherParams | None = None
    selective: SelectiveParams | None = None
    lora: LoraParams | None = None
    adalora: AdaloraParams | None = None
    adapter: AdapterParams | None = None
    ia3: Ia3Params | None = None
    prompt_tuning: PromptTuningParams | None = None
    prefix_tuning: PrefixTuningParams | None = None
    p_tuning: PTuningParams | None = None
    quantisation: QuantisationParams | None = None

    @property
    def sharded(self) -> bool:
        """Whether each process has a share of every weight."""
        return self.launcher is not None and self.launcher.strategy == "fsdp"

    @field_validator("launcher", mode="after")
    @classmethod
    def _one_process_needs_none(cls, launcher: LauncherParams | None) -> LauncherParams | None:
        """So that it has the same key as a training without the block."""
        return None if launcher is None or launcher.processes == 1 else launcher

    @model_validator(mode="after")
    def _shard_what_can_be(self) -> Self:
        if self.sharded and self.method not in SHARDED:
            raise ValueError(
                f"launcher.strategy: fsdp shards {', '.join(SHARDED)}; method {self.method} is not one of them; use "
                "strategy ddp, which holds the few weights that it trains in each process"
            )
        return self

    @model_validator(mode="after")
    def _prune_to_the_end(self) -> Self:
        if self.method == "adalora" and self.training and self.training.early_stopping_patience is not None:
            raise ValueError(
                "training.early_stopping_patience must be null for adalora: it could end before the ranks are pruned"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _blocks_of_the_method(cls, data: Any) -> Any:
        """A block that is left out has its defaults: what is recorded of a model is complete."""
        blocks = METHODS.get(str(data.get("method")), ()) if isinstance(data, dict) else ()
        return {**{block: {} for block in blocks}, **data} if blocks else data
