"""Parameters of the stage ``compare``."""

from __future__ import annotations

from pydantic import Field, field_validator

from tasks.core.params import Params
from tasks.metrics.names import row_score


class CompareParams(Params):
    """``compare`` of ``params/evaluation.yaml``.

    Attributes:
        baseline: the experiment that all others are compared with.
        metric: the primary metric, a score of a row. Its differences come first in the report, and are adjusted for
            their own number. The other metrics are secondary and are adjusted separately.
        resamples: number of bootstrap resamples per interval; whole groups of rows are drawn.
        confidence: level of the intervals of differences, such as 0.95.
        seed: seed of the bootstrap.
        samples: number of test rows whose outputs the report shows.
        lost_examples: number of rows that the report shows per lost task: those on which the tuned model lost most.
    """

    baseline: str = "base"
    metric: str = "rouge1_f"
    resamples: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    samples: int = Field(default=8, ge=0)
    lost_examples: int = Field(default=3, ge=0)

    _metric = field_validator("metric")(row_score)
