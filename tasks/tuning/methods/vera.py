"""``vera``: train vectors that scale two random factors; all matrices share the factors (Kopiczko et al. 2024)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters
from tasks.tuning.method import Method
from tasks.tuning.method_params import Targets
from tasks.tuning.params import TrainedParams


class VeraParams(Params):
    """VeRA (Kopiczko et al. 2024): the update of a matrix is diag(b) B diag(d) A, of which b and d are trained.

    Attributes:
        rank: rank of the random factors A and B; higher than in LoRA, since VeRA trains few numbers per rank.
        dropout: dropout on the input of the factors.
        targets: as in ``LoraParams``.
        initial: start value of d; b starts at zero, so that the model is unchanged before training.
    """

    rank: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = None
    initial: float = Field(default=0.1, gt=0)


class VeraTraining(TrainedParams):
    """Parameters of an experiment with ``vera``."""

    vera: VeraParams


def make_trainable(model: Any, base: BaseModel, params: VeraTraining, steps: int) -> Any:
    """Add VeRA to ``model``; the seed of the experiment draws the random factors.

    Raises:
        TunesmithError: the model has no such targets.
    """
    from peft import VeraConfig

    vera = params.vera
    targets = peft_adapters.target_modules(model, vera.targets, "vera.targets")
    config = VeraConfig(
        task_type=peft_adapters.task_type(base),
        r=vera.rank,
        vera_dropout=vera.dropout,
        target_modules=targets,
        d_initial=vera.initial,
        projection_prng_key=params.seed,
        save_projection=True,  # another version of PyTorch may draw other factors from the same seed
    )
    return peft_adapters.add_adapter(model, config, base, "vera.targets", targets)


METHOD = Method(params=VeraTraining, make_trainable=make_trainable)
