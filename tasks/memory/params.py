"""Limits of the memory check before a training. Light: nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tasks.core.params import Params, parse, read_yaml

KEY = "memory"


class MemoryParams(Params):
    """``memory`` of ``params/training.yaml``. It is part of no result, so a change retrains nothing.

    Attributes:
        warn_above: a training whose plan exceeds this share of the free memory starts with a warning.
        refuse_above: a training whose tensors alone exceed this share of the free memory is refused; null never
            refuses.
    """

    warn_above: float = Field(default=0.8, gt=0)
    refuse_above: float | None = Field(default=1.0, gt=0)


def load_limits(file: Path) -> MemoryParams:
    """Read ``memory`` of ``params/training.yaml``; the defaults hold for what is missing.

    Raises:
        TunesmithError: a key is unknown or a value is out of bounds.
    """
    data = read_yaml(file).get(KEY, {}) if file.exists() else {}
    return parse(MemoryParams, data, file, KEY)
