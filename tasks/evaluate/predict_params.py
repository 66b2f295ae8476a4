"""Parameters of the stage ``predict@X``. Light: nothing here imports torch."""

from __future__ import annotations

from pydantic import Field

from tasks.core.params import Params
from tasks.inference.params import GenerationParams, SamplingParams


class PredictParams(Params):
    """``build/experiments/X/predict.yaml``: everything that decides on the completions, and nothing else.

    Attributes:
        shots: number of training rows, with their completions, that precede the question in each prompt (Brown et al.
            2020).
        shots_seed: seed that chooses these rows; ``resolve`` takes it from ``evaluate.intervals.seed``.
        generation: settings of greedy or beam generation.
        sampling: settings of the completions that are sampled in addition.
        threads: processor threads; floating-point sums depend on their number.
    """

    shots: int = Field(default=0, ge=0, le=32)
    shots_seed: int = 0
    generation: GenerationParams = GenerationParams()
    sampling: SamplingParams = SamplingParams()
    threads: int = Field(default=2, ge=1)
