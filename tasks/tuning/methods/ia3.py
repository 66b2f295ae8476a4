"""``ia3``: factors of activations are trained (Liu et al. 2022)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning import peft_adapters
from tasks.tuning.method import Method
from tasks.tuning.params import TrainedParams


class Ia3Params(Params):
    """IA3 (Liu et al. 2022): one factor per activation of some layers: keys, values, inside the feed-forward.

    Attributes:
        targets: names of linear layers; None for peft's choice for the architecture.
        feedforward: the ``targets`` whose input is scaled instead of their output.
    """

    targets: list[str] | None = None
    feedforward: list[str] | None = None

    @model_validator(mode="after")
    def _among(self) -> Self:
        if outside := set(self.feedforward or ()) - set(self.targets or ()):
            raise ValueError(f"each name in feedforward must also be in targets; {min(outside)} is not")
        return self


class Ia3Training(TrainedParams):
    """Parameters of an experiment with ``ia3``."""

    ia3: Ia3Params


def make_trainable(model: Any, base: BaseModel, params: Ia3Training, steps: int) -> Any:
    """Add IA3 to ``model``.

    Raises:
        TunesmithError: the model has no such targets.
    """
    from peft import IA3Config

    targets = params.ia3.targets
    feedforward = params.ia3.feedforward if targets is None else params.ia3.feedforward or []
    config = IA3Config(task_type=peft_adapters.task_type(base), target_modules=targets, feedforward_modules=feedforward)
    return peft_adapters.add_adapter(model, config, base, "ia3.targets", targets)


METHOD = Method(params=Ia3Training, make_trainable=make_trainable)
