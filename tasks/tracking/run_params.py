"""Parameters of a run: about ten that matter, which MLflow's tables and parallel coordinates show.

All of them are in the artifact ``params.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from tasks.core.files import canonical_json

_TOP = ("method", "mixture", "seed", "max_length")
_TRAINING = ("epochs", "learning_rate", "token_budget")
_BLOCK = ("rank", "target_rank", "alpha", "virtual_tokens", "size", "last_layers", "bits")
"""Keys of a method's own blocks, such as ``lora.rank``; each method has one to three of them."""


def main_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a training that matter most, by plain names; those that the method lacks are left out.

    Args:
        params: resolved parameters of a training (``params`` of ``manifest.json``).
    """
    blocks = [block for name, block in params.items() if name != "training" and isinstance(block, Mapping)]
    training = params.get("training") or {}
    base = params.get("base_model")
    values = {
        "method": params.get("method"),
        "base_model": base.get("name") if isinstance(base, Mapping) else base,
        **{name: params.get(name) for name in _TOP},
        **{name: training.get(name) for name in _TRAINING},
        **{name: block.get(name) for name in _BLOCK for block in blocks if name in block},
    }
    return {name: value for name, value in values.items() if value is not None}


def as_text(value: Any) -> str:
    """A parameter as MLflow stores it: text as it is, anything else as JSON, cut at MLflow's 6,000 characters."""
    return (value if isinstance(value, str) else canonical_json(value))[:MAX_PARAM_VAL_LENGTH]


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"lora": {"rank": 8}}`` → ``{"lora.rank": "8"}``, with the values of ``as_text``."""
    flat: dict[str, str] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = as_text(value)
    return flat
