"""The processes that train one model together: this process's rank, and values that all of them share."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from tasks.core import device


def is_launched() -> bool:
    """Whether ``accelerate launch`` (or ``torchrun``) started this process."""
    return "LOCAL_RANK" in os.environ


def world_size() -> int:
    """Processes on all nodes together; 1 if this process was not launched."""
    return int(os.environ["WORLD_SIZE"]) if is_launched() else 1


def rank() -> int:
    """Rank of this process among all; 0 if it was not launched."""
    return int(os.environ["RANK"]) if is_launched() else 0


def is_main() -> bool:
    """Whether this is the process of rank 0, which alone writes files."""
    return rank() == 0


def use_own_gpu() -> None:
    """Make this process's own GPU the default one, so that models load onto the GPU that trains them."""
    if is_launched() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def broadcast_from_main(value: float) -> float:
    """Return the main process's ``value`` in every process."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device.device())
    dist.broadcast(tensor, src=0)
    return tensor.item()


def all_sum(value: int) -> int:
    """Return the sum over all processes in every process."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(value, device=device.device())
    dist.all_reduce(tensor)
    return int(tensor)


def all_mean(value: float) -> float:
    """Return the mean over all processes in every process."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64, device=device.device())
    dist.all_reduce(tensor)
    return tensor.item() / world_size()


def barrier() -> None:
    """Wait until every process has reached this line."""
    if world_size() > 1:
        dist.barrier()
