"""What a killed training goes on from: weights that are trained, optimizer, schedule, order, random state, loss curve.

A checkpoint is written under another name and renamed when it is whole, with the size of each of its files in
``complete.json``. It holds the trained weights alone, the same way for every method.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from tasks import files

logger = logging.getLogger("tunesmith")

WEIGHTS = "trained.safetensors"
COMPLETE = "complete.json"
STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")


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


def seal(partial: Path, target: Path) -> None:
    """Turn the folder ``partial`` into the checkpoint ``target``; at each moment there is the old one or the new."""
    sizes = {path.name: path.stat().st_size for path in partial.iterdir()}
    files.write_json(partial / COMPLETE, sizes)
    old = target.with_name("replaced")
    if target.exists():
        files.remove(old)
        target.rename(old)
    partial.rename(target)
    files.remove(old)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file has the size that it was sealed with."""
    try:
        sizes = files.read_json(checkpoint / COMPLETE)
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def found(folder: Path) -> dict[int, Path]:
    """Checkpoints by their step, in order; whether they are whole is not looked at."""
    named = {path: _NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*")}
    return dict(sorted((int(match[1]), path) for path, match in named.items() if match))


def last_complete(folder: Path) -> Path | None:
    """The last whole checkpoint; what is not whole (of a full disk, or cut by a crash) is removed, and said so."""
    for path in reversed(list(found(folder).values())):
        if is_whole(path):
            return path
        logger.warning("%s: this checkpoint is damaged or of another version; the one before it is used", path)
        files.remove(path)
    return None


def keep(folder: Path, last: int) -> None:
    """Remove all checkpoints but the ``last`` so many, and for each of these the best so far."""
    kept = list(found(folder))[-last:]
    best = {files.read_json(folder / f"checkpoint-{step}" / STATE)["best_global_step"] for step in kept}
    for step in set(found(folder)) - set(kept) - best:
        files.remove(folder / f"checkpoint-{step}")
