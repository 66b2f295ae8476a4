"""FSDP (fully sharded data parallel): each process holds a share of every weight, gradient and moment.

accelerate does it, in the second version (``fully_shard`` of torch); here is what it leaves out on processors, and the
check that it was done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.state import DistributedType, PartialState
from accelerate.utils import save_fsdp_optimizer
from torch.distributed.tensor import DTensor
from transformers.trainer import SCHEDULER_NAME

from tasks.core.errors import TunesmithError

logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file that it writes


@contextmanager
def on_any_device(wanted: bool) -> Iterator[None]:
    """accelerate asks for FSDP among GPUs alone and, on processors, silently trains with DDP (1.15, ``state.py``,
    ``AcceleratorState.__init__``); all that it would call works with gloo. So while it asks, these are GPUs."""
    state = PartialState._shared_state
    if wanted and state.get("distributed_type") == DistributedType.MULTI_CPU:
        state["distributed_type"] = DistributedType.MULTI_GPU
    yield


def local_parameters(model: Any) -> int:
    """How many numbers of its parameters this process holds."""
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in model.parameters())


def is_sharded(model: Any) -> bool:
    """Whether every parameter is a share of one."""
    return all(isinstance(p, DTensor) and any(q.is_shard() for q in p.placements) for p in model.parameters())


def refuse_unsharded(model: Any, wanted: bool) -> None:
    """Raises TunesmithError where a model that is to be sharded is not, or the other way round."""
    if is_sharded(model) != wanted:
        rule, value = ("must", "it is not") if wanted else ("must not", "it is")
        raise TunesmithError(
            f"launcher.strategy: with {'fsdp' if wanted else 'ddp'} every weight {rule} be sharded over the processes; "
            f"{value}; start it through the stage or with a config of infra/ for this strategy, and the library "
            "versions of requirements.lock"
        )


def save_optimizer(trainer: Any, folder: str) -> None:
    """What ``Trainer`` saves, without a second copy of the weights. All processes must call it."""
    accelerator = trainer.accelerator
    save_fsdp_optimizer(accelerator.state.fsdp_plugin, accelerator, trainer.optimizer, trainer.model, folder)
    if trainer.args.should_save:
        torch.save(trainer.lr_scheduler.state_dict(), Path(folder) / SCHEDULER_NAME)
