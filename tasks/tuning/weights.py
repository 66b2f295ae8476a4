"""Files of tuned weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

WEIGHTS = "trained.safetensors"
SELECTED = "selected.safetensors"
"""Of method ``selective``: the weights that were trained, under the names of the base model."""


def save_weights(model: Any, path: Path, whole: dict[str, Tensor] | None = None) -> None:
    """Write every weight of ``model`` that is trained to a safetensors file; ``whole`` has them where it is sharded."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    trained = {name: (whole[name] if whole is not None else p).contiguous() for name, p in trained.items()}
    save_file(trained, path, metadata={"format": "pt"})


@torch.no_grad()
def load_weights(model: Any, folder: Path) -> None:
    """Put what ``save_weights`` wrote into a model of the same parameters; into a sharded one, in all processes."""
    found = load_file(folder / WEIGHTS)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            value = found.pop(name)
            if isinstance(weight, DTensor):
                value = distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
            weight.copy_(value)
    assert not found, f"{folder}: weights of another model: {', '.join(found)}"
