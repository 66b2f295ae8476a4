"""Check memory and disk before a training starts."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from tasks.core import device
from tasks.core.errors import TunesmithError, described
from tasks.core.paths import Paths
from tasks.memory.fit import check_fit
from tasks.memory.params import load_limits
from tasks.memory.simulate import Step
from tasks.memory.training_plan import plan_training
from tasks.model.base_models import BaseModel
from tasks.model.encoded import Encoded
from tasks.tuning import methods
from tasks.tuning.params import TrainedParams

logger = logging.getLogger("tunesmith")


def plan_memory(name: str, params: TrainedParams, base: BaseModel, rows: list[Encoded], paths: Paths) -> Step | None:
    """Plan the largest step and check that it fits into the free memory.

    Return None for several processes, each of which may hold only a share. Return None with a warning if this model's
    code does not run on tensors without storage.

    Raises:
        TunesmithError: the step is clearly too large for the free memory.
    """
    if params.launcher is not None:
        return None
    try:
        step = plan_training(params, base, rows)
    except TunesmithError:
        raise
    except Exception as error:  # code of a hub model may read values, which tensors without storage do not have
        logger.warning("%s: memory is not planned: %s", name, described(error))
        return None
    limits = load_limits(paths.params / "training.yaml")
    check_fit(step, device.free_memory_bytes(), limits, name, params, base, rows)
    return step


def check_disk(checkpoints: Path, params: TrainedParams, trainable: int) -> None:
    """Check that the disk can hold the checkpoints that are kept, the best one, and the one that is being written.

    Raises:
        TunesmithError: it cannot.
    """
    numbers = methods.named(params.method).checkpoint_numbers
    needed = 4 * numbers * trainable * (params.training.checkpoints_kept + 2) + 4 * trainable
    checkpoints.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(checkpoints).free
    if free < needed:
        raise TunesmithError(
            f"{checkpoints}: training needs {needed / 1e9:.1f} GB of free disk for checkpoints and weights; "
            f"{free / 1e9:.1f} GB are free; free space (`tunesmith clean`, `dvc gc -w`) or lower "
            "training.checkpoints_kept"
        )
