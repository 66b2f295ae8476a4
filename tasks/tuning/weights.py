"""Files of tuned weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

WEIGHTS = "trained.safetensors"
"""The trained weights in a checkpoint."""


def save_weights(model: Any, path: Path, whole: dict[str, Tensor] | None = None) -> None:
    """Write the trained weights of ``model`` to a safetensors file; ``whole`` holds those of a sharded one."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    trained = {name: (whole[name] if whole is not None else p).contiguous() for name, p in trained.items()}
    save_file(trained, path, metadata={"format": "pt"})


@torch.no_grad()
def load_weights(model: Any, folder: Path) -> None:
    """Copy ``WEIGHTS`` in ``folder`` into the trained weights of ``model``; if it is sharded, in all processes."""
    weights = load_file(folder / WEIGHTS)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            value = weights.pop(name)
            if isinstance(parameter, DTensor):
                value = distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
            parameter.copy_(value)
    assert not weights, f"{folder}: weights of another model: {', '.join(weights)}"
