"""Parameters of intervals. Light: nothing here imports scipy."""

from __future__ import annotations

from pydantic import Field

from tasks.core.params import Params


class IntervalParams(Params):
    """Bootstrap intervals over rows."""

    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
