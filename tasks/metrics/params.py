"""Parameters of intervals. This module is cheap to import: it does not import scipy."""

from __future__ import annotations

from pydantic import Field

from tasks.core.params import Params


class IntervalParams(Params):
    """Parameters of bootstrap intervals over rows.

    Attributes:
        resamples: number of bootstrap resamples.
        confidence: share of resampled values inside an interval.
        seed: of the resamples.
    """

    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
