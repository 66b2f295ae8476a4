"""Parameters of evaluation. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.params import Params


class GenerationParams(Params):
    """Greedy generation, or beam search where ``num_beams`` is more than 1; never sampled.

    Attributes:
        max_new_tokens: an answer that has not ended by then is cut and counted as unfinished.
        num_beams: continuations kept at each step, of which the likeliest whole answer is given.
        token_budget: most tokens in a batch, padding, new tokens and all beams included.
        precision: ``bf16`` holds the weights in bf16; ``auto`` where the processor computes with it.
    """

    max_new_tokens: int = Field(default=96, ge=1)
    num_beams: int = Field(default=1, ge=1, le=32)
    token_budget: int = Field(default=8192, ge=16)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


class IntervalParams(Params):
    """Bootstrap intervals over rows."""

    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0


class EvaluateParams(Params):
    """``build/experiments/X/evaluate.yaml``."""

    generation: GenerationParams = GenerationParams()
    intervals: IntervalParams = IntervalParams()
    threads: int = Field(default=2, ge=1)
