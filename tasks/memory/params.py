"""Limits of the memory check before a training. Light: nothing here imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.core.params import Params, parse, read_yaml

KEY = "memory"


class MemoryParams(Params):
    """``memory`` of ``params/training.yaml``. It is part of no result, so a change retrains nothing.

    Attributes:
        warn_above: a training whose plan exceeds this share of the free memory starts with a warning.
        refuse_above: a training whose tensors alone exceed this share of the free memory is refused; null never
            refuses.
        on_oom: what a flow does with a training whose memory ran out: ``fail``, or ``halve``: try once more with half
            the token budget and twice the accumulation.
    """

    warn_above: float = Field(default=0.8, gt=0)
    refuse_above: float | None = Field(default=1.0, gt=0)
    on_oom: Literal["fail", "halve"] = "fail"


def load_limits(file: Path) -> MemoryParams:
    """Read ``memory`` of ``params/training.yaml``; the defaults hold for what is missing.

    Raises:
        TunesmithError: a key is unknown or a value is out of bounds.
    """
    data = read_yaml(file).get(KEY, {}) if file.exists() else {}
    return parse(MemoryParams, data, file, KEY)
