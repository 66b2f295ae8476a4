"""``full``: all weights of the base model are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.model.base_models import BaseModel
from tasks.tuning.method import Method
from tasks.tuning.params import TrainedParams


def make_trainable(model: Any, base: BaseModel, params: TrainedParams, steps: int) -> Any:
    """Return ``model``: all its weights require gradients already."""
    return model


def save(model: Any, params: TrainedParams, folder: Path) -> None:
    """Write the whole model as transformers does."""
    model.save_pretrained(folder)


METHOD = Method(
    params=TrainedParams,
    make_trainable=make_trainable,
    save=save,
    saves_whole_model=True,
    restore=None,
    merges=False,
    shardable=True,
    lighter=("lora", "qlora"),
)
