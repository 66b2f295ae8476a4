"""``selective``: train some of the base model's own weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from tasks.core.errors import TunesmithError
from tasks.core.params import Params
from tasks.model.base_models import BaseModel
from tasks.tuning.method import Method
from tasks.tuning.method_params import EXPERIMENTS
from tasks.tuning.params import TrainedParams

WEIGHTS = "selected.safetensors"
"""The weights that were trained, under the names that they have in the base model."""

_LAYER = re.compile(r"(.*\.)?(?:layers|h|block|blocks)\.(\d+)\.")
"""Name of a weight in a stack of layers: the stack, and the number of the layer."""


class SelectiveParams(Params):
    """The weights that are trained: the union of what these keys name.

    Attributes:
        biases: every bias (BitFit, Ben Zaken et al. 2021).
        layer_norms: every normalisation layer.
        last_layers: all weights of this many last layers; in an encoder-decoder, of the decoder.
        patterns: weights whose name contains one of these, such as ``self_attn.o_proj``.
    """

    biases: bool = False
    layer_norms: bool = False
    last_layers: int = Field(default=0, ge=0)
    patterns: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _name_something(self) -> Self:
        if not (self.biases or self.layer_norms or self.last_layers or self.patterns):
            raise ValueError("must name weights to train: biases, layer_norms, last_layers or patterns")
        return self


class SelectiveTraining(TrainedParams):
    """Parameters of an experiment with ``selective``."""

    selective: SelectiveParams


def make_trainable(model: Any, base: BaseModel, params: SelectiveTraining, steps: int) -> Any:
    """Let exactly the weights that ``params.selective`` names require gradients.

    Raises:
        TunesmithError: a key of ``params.selective`` names no weight of this model.
    """
    names = [name for name, _ in model.named_parameters()]
    trained: set[str] = set()
    for key, matches in _matches(model, params.selective, names).items():
        if not matches:
            raise TunesmithError(
                f"{EXPERIMENTS}: selective.{key}: must name weights of {base.spec}; it has none of these; its weights "
                f"are {', '.join(sorted({'.'.join(name.split('.')[-2:]) for name in names}))}"
            )
        trained |= matches
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in trained)
    return model


def save(model: Any, params: SelectiveTraining, folder: Path) -> None:
    """Write the trained weights alone."""
    from tasks.tuning.weights import save_weights

    save_weights(model, folder / WEIGHTS)


def restore(model: Any, folder: Path) -> Any:
    """Replace weights of ``model`` by the trained ones.

    Raises:
        TunesmithError: the file holds none, or weights that ``model`` has not.
    """
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    weights = load_file(path)
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    if unknown or not weights:
        raise TunesmithError(
            f"{path}: must hold weights of {type(model).__name__}; it holds {unknown[0] if unknown else 'none'}; "
            "restore the file (`dvc checkout`) or train again"
        )
    return model


def _matches(model: Any, params: SelectiveParams, names: list[str]) -> dict[str, set[str]]:
    """Weights by the key that names them; keys that name nothing by their default are left out."""
    matches: dict[str, set[str]] = {}
    if params.biases:
        matches["biases"] = {name for name in names if name.endswith("bias")}
    if params.layer_norms:
        norms = [name for name, module in model.named_modules() if "norm" in type(module).__name__.lower()]
        matches["layer_norms"] = {name for name in names if name.rpartition(".")[0] in set(norms)}
    if params.last_layers:
        matches[f"last_layers: {params.last_layers}"] = _last_layers(names, params.last_layers)
    for pattern in params.patterns:
        matches[f"patterns: {pattern!r}"] = {name for name in names if pattern in name}
    return matches


def _last_layers(names: list[str], count: int) -> set[str]:
    """Weights of the last ``count`` layers, in an encoder-decoder of the decoder; none if there are fewer layers."""
    layers = {name: match for name in names if (match := _LAYER.match(name))}
    depth: dict[str, int] = {}
    for match in layers.values():
        depth[match[1] or ""] = max(depth.get(match[1] or "", 0), int(match[2]) + 1)
    if not depth:
        return set()
    stack = max(depth, key=lambda name: ("decoder" in name, depth[name], name))
    if count > depth[stack]:
        return set()
    numbers = {name: int(match[2]) for name, match in layers.items() if (match[1] or "") == stack}
    return {name for name, number in numbers.items() if number >= depth[stack] - count}


METHOD = Method(
    params=SelectiveTraining,
    make_trainable=make_trainable,
    save=save,
    restore=restore,
    weights_file=WEIGHTS,
    shardable=True,
    lighter=("lora", "qlora"),
)
