"""Parameters of evaluation. Light: nothing here imports torch."""

from __future__ import annotations

from pydantic import Field

from tasks.core.params import Params
from tasks.inference.params import GenerationParams, SamplingParams
from tasks.metrics.params import IntervalParams


class EvaluateParams(Params):
    """``build/experiments/X/evaluate.yaml``.

    Attributes:
        shots: solved training rows that stand in each prompt before the question (Brown et al. 2020).
    """

    shots: int = Field(default=0, ge=0, le=32)
    generation: GenerationParams = GenerationParams()
    sampling: SamplingParams = SamplingParams()
    intervals: IntervalParams = IntervalParams()
    threads: int = Field(default=2, ge=1)
