"""Parameters of the stage ``compare``."""

from __future__ import annotations

from pydantic import Field, field_validator

from tasks.metrics.names import row_score
from tasks.metrics.params import IntervalParams


class CompareParams(IntervalParams):
    """``compare`` of ``params/evaluation.yaml``: the intervals of differences, and what the report shows.

    Attributes:
        baseline: the experiment that all others are compared with.
        metric: the primary metric, a score of a row. Its differences come first in the report, and are adjusted for
            their own number. The other metrics are secondary and are adjusted separately. None takes the first metric
            that the templates of the test rows name (``tasks.compare.primary``), such as accuracy for labels.
        lost_examples: number of rows that the report shows per lost task: those on which the tuned model lost most.
    """

    baseline: str = "base"
    metric: str | None = None
    lost_examples: int = Field(default=3, ge=0)

    _metric = field_validator("metric")(lambda name: None if name is None else row_score(name))

    @property
    def primary(self) -> str:
        """The primary metric, after ``tasks.compare.primary`` chose it."""
        assert self.metric is not None
        return self.metric
