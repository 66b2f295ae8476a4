"""``adalora``: LoRA whose ranks are pruned during training (Zhang et al. 2023)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from tasks.core.errors import TunesmithError
from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters
from tasks.tuning.method import Method
from tasks.tuning.method_params import EXPERIMENTS, Targets
from tasks.tuning.params import TrainedParams

if TYPE_CHECKING:
    from tasks.tuning.pruning import Pruning


class AdaloraParams(Params):
    """AdaLoRA (Zhang et al. 2023): the ranks that matter least are pruned, down to an average.

    Attributes:
        initial_rank: rank of each matrix before pruning.
        target_rank: average rank after pruning.
        alpha: scale of the update.
        dropout: dropout on the input of the factors.
        targets: as in ``LoraParams``.
        warmup: share of the steps before pruning.
        final: share of the steps after pruning.
        every: steps between two prunings.
        orthogonality: weight of the penalty that keeps the factors orthogonal.
    """

    initial_rank: int = Field(default=12, ge=1)
    target_rank: int = Field(default=8, ge=1)
    alpha: int = Field(default=16, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = None
    warmup: float = Field(default=0.1, ge=0, lt=1)
    final: float = Field(default=0.3, ge=0, lt=1)
    every: int = Field(default=1, ge=1)
    orthogonality: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _prune(self) -> Self:
        if self.target_rank >= self.initial_rank:
            raise ValueError(
                "target_rank must be below initial_rank, or nothing is pruned; "
                f"target_rank is {self.target_rank} and initial_rank is {self.initial_rank}"
            )
        if self.warmup + self.final >= 1:
            raise ValueError(f"warmup + final must be below 1; it is {self.warmup + self.final:g}: no step would prune")
        return self


class AdaloraTraining(TrainedParams):
    """Parameters of an experiment with ``adalora``."""

    adalora: AdaloraParams

    @model_validator(mode="after")
    def _prune_to_the_end(self) -> Self:
        if self.training.early_stopping_patience is not None:
            raise ValueError(
                "training.early_stopping_patience must be null for adalora: it could end before the ranks are pruned"
            )
        return self


def make_trainable(model: Any, base: BaseModel, params: AdaloraTraining, steps: int) -> Any:
    """Add AdaLoRA to ``model``, with its phases divided over ``steps``.

    Raises:
        TunesmithError: there are too few steps, or the model has no such targets.
    """
    from peft import AdaLoraConfig

    adalora = params.adalora
    final = int(adalora.final * steps)
    if steps - final < 2:
        raise TunesmithError(
            f"{EXPERIMENTS}: method adalora must prune before the last steps; this training has {steps} in all; train "
            "on more rows or epochs, or lower adalora.final"
        )
    targets = peft_adapters.target_modules(model, adalora.targets, "adalora.targets")
    config = AdaLoraConfig(
        task_type=peft_adapters.task_type(base),
        init_r=adalora.initial_rank,
        target_r=adalora.target_rank,
        lora_alpha=adalora.alpha,
        lora_dropout=adalora.dropout,
        target_modules=targets,
        total_step=steps,
        tinit=int(adalora.warmup * steps),
        tfinal=final,
        deltaT=adalora.every,
        orth_reg_weight=adalora.orthogonality,
    )
    return peft_adapters.add_adapter(model, config, base, "adalora.targets", targets)


def save(model: Any, params: AdaloraTraining, folder: Path) -> None:
    """Write the adapter without the pattern of its ranks: pruned ranks are zeros in the weights."""
    model.peft_config["default"].rank_pattern = None
    peft_adapters.save(model, params, folder)


def pruning(model: Any) -> Pruning:
    """Make the callback that prunes ``model``."""
    from tasks.tuning.pruning import Pruning

    return Pruning(model)


METHOD = Method(
    params=AdaloraTraining,
    make_trainable=make_trainable,
    save=save,
    pruning=pruning,
    checkpoint_numbers=6,  # and three scores of importance
)
