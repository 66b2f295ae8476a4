"""Parameters of comparing experiments."""

from __future__ import annotations

from pydantic import Field, field_validator

from tasks.core.params import Params
from tasks.metrics.names import row_score


class CompareParams(Params):
    """``compare`` of ``params/evaluation.yaml``.

    Attributes:
        baseline: the experiment that all others are compared with.
        metric: score of a row; its differences come first in the report.
        resamples: bootstrap resamples of an interval.
        confidence: of the intervals of differences, such as 0.95.
        seed: of the bootstrap.
        samples: rows of predictions shown in the report.
        lost_examples: rows shown of each task that a tuned model does worse on than the baseline.
    """

    baseline: str = "base"
    metric: str = "rouge1_f"
    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    samples: int = Field(default=8, ge=0)
    lost_examples: int = Field(default=3, ge=0)

    _metric = field_validator("metric")(row_score)
