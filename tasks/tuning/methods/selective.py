"""Training some of the base model's own weights."""

from __future__ import annotations

import re
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.tuning.method_params import SelectiveParams

_BLOCK = re.compile(r"(.*\.)?(?:layers|h|block|blocks)\.(\d+)\.")


def select(model: Any, params: SelectiveParams, where: str, spec: str) -> None:
    """Make exactly the weights that ``params`` names trainable.

    Raises:
        TunesmithError: a part of ``params`` names nothing in this model; ``where`` is its key.
    """
    names = [name for name, _ in model.named_parameters()]
    chosen: set[str] = set()
    for key, found in _found(model, params, names).items():
        if not found:
            raise TunesmithError(
                f"{where}.{key}: must name weights of {spec}; it has none such; its weights are called "
                f"{', '.join(sorted({'.'.join(name.split('.')[-2:]) for name in names}))}"
            )
        chosen |= found
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in chosen)


def _found(model: Any, params: SelectiveParams, names: list[str]) -> dict[str, set[str]]:
    """Weights by the key that names them; only keys that ask for some."""
    found: dict[str, set[str]] = {}
    if params.biases:
        found["biases"] = {name for name in names if name.endswith("bias")}
    if params.layer_norms:
        norms = [name for name, module in model.named_modules() if "norm" in type(module).__name__.lower()]
        found["layer_norms"] = {name for name in names if name.rpartition(".")[0] in set(norms)}
    if params.last_layers:
        found[f"last_layers: {params.last_layers}"] = _last_layers(names, params.last_layers)
    for pattern in params.patterns:
        found[f"patterns: {pattern}"] = {name for name in names if pattern in name}
    return found


def _last_layers(names: list[str], count: int) -> set[str]:
    """Of an encoder-decoder, those of the decoder."""
    numbered = {name: match for name in names if (match := _BLOCK.match(name))}
    depth: dict[str, int] = {}
    for match in numbered.values():
        depth[match[1] or ""] = max(depth.get(match[1] or "", 0), int(match[2]) + 1)
    if not depth:
        return set()
    stack = max(depth, key=lambda name: ("decoder" in name, depth[name], name))
    if count > depth[stack]:
        return set()
    mine = {name: int(match[2]) for name, match in numbered.items() if (match[1] or "") == stack}
    return {name for name, number in mine.items() if number >= depth[stack] - count}
