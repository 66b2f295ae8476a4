"""A base model with the trained parts of a method, as a training begins with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import set_seed

from tasks.core.params import merge
from tasks.model.base_models import BaseModel, BaseModelParams, find
from tasks.tuning.params import parse_trained
from tasks.tuning.prepare import prepare
from tests.train.training_workspace import PARAMS


def prepared(base: Path, patch: dict[str, Any], steps: int = 20) -> tuple[Any, BaseModel]:
    params = parse_trained(merge(PARAMS | {"base_model": {"name": str(base)}}, patch), "train.yaml")
    base_model = find(BaseModelParams(name=str(base)), base)
    set_seed(0)
    return prepare(base_model, params, steps), base_model
