"""The processes that train one model together: which of them this is, and what all of them agree on."""

from __future__ import annotations

import os

import torch
from torch import distributed

from tasks.core import device


def launched() -> bool:
    """Whether ``accelerate launch`` (or ``torchrun``) started this process."""
    return "LOCAL_RANK" in os.environ


def count() -> int:
    """Of all nodes; 1 for a process that nothing launched."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def index() -> int:
    """Of this process among all; the first is the main one, which alone writes."""
    return int(os.environ["RANK"]) if launched() else 0


def take_own_gpu() -> None:
    """So that what is loaded before the processes are connected lies where it is trained."""
    if launched() and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def is_main() -> bool:
    return index() == 0


def agreed(value: float) -> float:
    """``value`` of the main process, in every process."""
    if count() == 1:
        return value
    box = torch.tensor(value, dtype=torch.float64, device=device.device())
    distributed.broadcast(box, src=0)
    return box.item()


def total(number: int) -> int:
    """The sum over all processes, in every process."""
    if count() == 1:
        return number
    box = torch.tensor(number, device=device.device())
    distributed.all_reduce(box)
    return int(box)


def mean(value: float) -> float:
    """The mean over all processes, in every process."""
    if count() == 1:
        return value
    box = torch.tensor(value, dtype=torch.float64, device=device.device())
    distributed.all_reduce(box)
    return box.item() / count()


def meet() -> None:
    """Wait until every process is here."""
    if count() > 1:
        distributed.barrier()
