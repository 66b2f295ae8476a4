"""Trainings in several processes, and what they leave to compare."""

from __future__ import annotations

from typing import Any

from safetensors.torch import load_file

from tasks.core import files
from tasks.core.params import merge
from tasks.core.paths import Paths
from tasks.train.task_losses import PREFIX
from tests.train.training_workspace import LORA, PAIRS, rows

LOOP = {"epochs": 3, "token_budget": 16, "learning_rate": 1e-2}
PLAIN_LORA = merge(LORA, {"lora": {"dropout": 0.0}})
TRAINED = rows(PAIRS[:5])
"""A batch each at this budget: no multiple of two processes, nor of two batches each, so that some are left over."""
WATCHED = [*rows(PAIRS[:2]), *rows(PAIRS[2:3], source="agents")]
"""Validation rows of two sources, whose losses stand in the curve too."""


def launched(strategy: str = "ddp", accumulation: int = 2) -> dict[str, Any]:
    loop = LOOP | {"accumulation": accumulation}
    return {"launcher": {"processes": 2, "strategy": strategy}, "threads": 2, "training": loop}


def curve(paths: Paths, name: str) -> list[dict[str, float]]:
    kept = ("step", "train_loss", "validation_loss", "learning_rate", "grad_norm")
    points = files.read_jsonl(paths.run(name, "train") / "history.jsonl")
    return [{key: value for key, value in point.items() if key in kept or key.startswith(PREFIX)} for point in points]


def facts(paths: Paths, name: str) -> dict[str, Any]:
    facts_of_run: dict[str, Any] = files.read_json(paths.run(name, "train") / "run.json")
    return facts_of_run


def weights(paths: Paths, name: str) -> dict[str, Any]:
    (file,) = paths.model(name).glob("*.safetensors")
    return load_file(file)
