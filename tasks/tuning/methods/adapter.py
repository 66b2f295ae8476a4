"""``adapter``: bottleneck layers after attention and feed-forward are trained (Houlsby et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning.method import Method
from tasks.tuning.method_params import EXPERIMENTS
from tasks.tuning.params import TrainedParams


class AdapterParams(Params):
    """Bottleneck layers after attention and feed-forward (Houlsby et al. 2019).

    Attributes:
        size: width of the bottlenecks.
        targets: names of the modules whose output passes a bottleneck; None for the attention and feed-forward blocks
            of a known architecture.
    """

    size: int = Field(default=64, ge=1)
    targets: list[str] | None = None


class AdapterTraining(TrainedParams):
    """Parameters of an experiment with ``adapter``."""

    adapter: AdapterParams


def make_trainable(model: Any, base: BaseModel, params: AdapterTraining, steps: int) -> Any:
    """Add the bottlenecks and freeze all other weights.

    Raises:
        TunesmithError: the model has no such targets.
    """
    add_layers(model, params)
    return model


def add_layers(model: Any, params: AdapterTraining) -> None:
    """Add the bottlenecks to ``model``."""
    from tasks.tuning import bottleneck

    bottleneck.attach(model, params.adapter.size, params.adapter.targets, f"{EXPERIMENTS}: adapter.targets")


def save(model: Any, params: AdapterTraining, folder: Path) -> None:
    """Write the bottlenecks under the file names of peft."""
    from tasks.tuning import bottleneck

    bottleneck.save(model, params.adapter.model_dump(), folder)


def restore(model: Any, folder: Path) -> Any:
    """Add the bottlenecks in ``folder`` to ``model``."""
    from tasks.tuning import bottleneck

    bottleneck.load(model, folder)
    return model


def remove(model: Any) -> None:
    """Remove the bottlenecks from ``model``."""
    from tasks.tuning import bottleneck

    bottleneck.detach(model)


METHOD = Method(
    params=AdapterTraining,
    make_trainable=make_trainable,
    save=save,
    restore=restore,
    remove=remove,
    merges=False,
    add_layers=add_layers,
)
