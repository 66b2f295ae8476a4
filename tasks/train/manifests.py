"""``manifest.json``: everything from which a model can be rebuilt, and its key."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.core import device, files
from tasks.core.stage import Stage
from tasks.model.base_models import BaseModel
from tasks.model.fingerprint import fingerprint, templates_of
from tasks.model.rendering import Renderer
from tasks.train import halved
from tasks.train.data import Data
from tasks.tuning import methods
from tasks.tuning.params import ExperimentParams, TrainedParams

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "accelerate")
"""Packages whose version can change a number."""


def identity(name: str, params: ExperimentParams, base: BaseModel, stage: Stage) -> dict[str, Any]:
    """Build what is known before training.

    ``key`` is the hash of it and names the result in all ledgers: equal keys, equal weights.
    """
    inputs: dict[str, str] = {}
    precision: device.Precision = "auto"
    smaller: dict[str, int] = {}
    if isinstance(params, TrainedParams):
        inputs, precision, smaller = stage.data_inputs(), params.training.precision, halved.record(params)
    versions = {library: version(library) for library in (*LIBRARIES, *methods.named(params.method).libraries)}
    known = {
        "params": params.model_dump(exclude_none=True),
        "base_model": base.record(),
        "inputs": inputs,
        "versions": versions,
        "computed": {"device": device.device().type, "bf16": device.use_bf16(precision), **smaller},
    }
    return {"schema": 1, "experiment": name, "method": params.method, "key": _key(known), **known}


def whole_key(manifest: dict[str, Any]) -> str:
    """The key of the same training with its whole token budget (``tasks.train.halved``)."""
    computed = {name: manifest["computed"][name] for name in ("device", "bf16")}
    return _key(manifest | {"computed": computed})


def _key(manifest: dict[str, Any]) -> str:
    return files.digest({name: manifest[name] for name in ("params", "base_model", "inputs", "versions", "computed")})


def untrained(params: ExperimentParams, renderer: Renderer, base: BaseModel) -> dict[str, Any]:
    """Build the other fields for an experiment that trains nothing."""
    return {
        "fingerprint": fingerprint(renderer, params.max_length, [], params.truncate),
        "templates": {},
        "tasks": [],
        "weights_sha256": None,
        "weights_bytes": 0,
        "base_bytes": weights_bytes(base.folder),
        "trainable_parameters": 0,
        "total_parameters": None,
        "best": None,
        "contract": None,
    }


def trained(
    params: TrainedParams, renderer: Renderer, base: BaseModel, data: Data, trainable: int, total: int
) -> dict[str, Any]:
    """Build the fields that are known once the data is encoded and the model is prepared."""
    return {
        "fingerprint": fingerprint(renderer, params.max_length, data.rows, params.truncate),
        "templates": templates_of(data.rows),
        "tasks": sorted({row["task"] for row in data.rows}),
        "base_bytes": weights_bytes(base.folder),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "contract": data.contract,
    }


def weights_bytes(folder: Path) -> int:
    """Sum the sizes of the weight files in ``folder``."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))
