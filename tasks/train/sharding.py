"""FSDP (fully sharded data parallel): each process holds a shard of every weight, gradient and moment.

accelerate does the sharding, in its second version (``fully_shard`` of torch). This module adds what it leaves out on
CPUs, and checks that the model was sharded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from accelerate.utils import save_fsdp_optimizer
from torch.distributed.tensor import DTensor
from transformers.trainer import SCHEDULER_NAME

from tasks.core.errors import TunesmithError

logging.getLogger("accelerate").setLevel(logging.WARNING)  # it logs every file that it writes

_TYPE = "distributed_type"


@contextmanager
def fsdp_on_cpu(wanted: bool) -> Iterator[None]:
    """Let accelerate shard between CPU processes while it sets itself up.

    accelerate considers FSDP for GPUs only. On CPUs it trains with DDP and prints nothing (1.15, ``state.py``,
    ``AcceleratorState.__init__``), although everything that FSDP calls works with gloo. So within the block it sees
    GPUs. accelerate then replaces this type by FSDP; if it does not, the true type is restored at the end.
    """
    state = PartialState._shared_state
    pretends = wanted and state.get(_TYPE) == DistributedType.MULTI_CPU
    if pretends:
        state[_TYPE] = DistributedType.MULTI_GPU
    try:
        yield
    finally:
        for shared in (state, AcceleratorState._shared_state):
            if pretends and shared.get(_TYPE) == DistributedType.MULTI_GPU:
                shared[_TYPE] = DistributedType.MULTI_CPU


def local_parameters(model: Any) -> int:
    """Count the numbers of all parameters that this process holds."""
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in model.parameters())


def is_sharded(model: Any) -> bool:
    """Whether every parameter of ``model`` is sharded."""
    return all(isinstance(p, DTensor) and any(q.is_shard() for q in p.placements) for p in model.parameters())


def check_sharding(model: Any, wanted: bool) -> None:
    """Check that ``model`` is sharded if ``wanted``, else that it is not.

    Raises:
        TunesmithError: it is sharded although it should not be, or the reverse.
    """
    if is_sharded(model) != wanted:
        rule, value = ("must", "it is not") if wanted else ("must not", "it is")
        raise TunesmithError(
            f"launcher.strategy: with {'fsdp' if wanted else 'ddp'} every weight {rule} be sharded over the processes; "
            f"{value}; start the training through the stage or with the config in infra/ for this strategy, and use "
            "the library versions of requirements.lock"
        )


def save_optimizer(trainer: Any, folder: str) -> None:
    """Save optimizer and schedule like ``Trainer``, without a second copy of the weights; call it in all processes."""
    accelerator = trainer.accelerator
    save_fsdp_optimizer(accelerator.state.fsdp_plugin, accelerator, trainer.optimizer, trainer.model, folder)
    if trainer.args.should_save:
        torch.save(trainer.lr_scheduler.state_dict(), Path(folder) / SCHEDULER_NAME)
