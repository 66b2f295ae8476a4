"""Parameters of generation. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params


class GenerationParams(Params):
    """Greedy generation, or beam search with ``num_beams`` above 1.

    Attributes:
        max_new_tokens: most new tokens per output; a longer output is cut and counts as unfinished.
        num_beams: continuations kept at each step; the likeliest complete output is returned.
        token_budget: tokens held at once; new tokens, beams and padding included.
        precision: ``bf16`` holds the weights in bf16; ``auto`` does so where it is faster.
    """

    max_new_tokens: int = Field(default=96, ge=1)
    num_beams: int = Field(default=1, ge=1, le=32)
    token_budget: int = Field(default=8192, ge=16)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


class SamplingParams(Params):
    """Samples besides the greedy output; all other scores are of the greedy output.

    Attributes:
        count: samples per row; none by default.
        temperature: divides the logits; lower is closer to greedy.
        top_p: sample from the likeliest tokens that have this probability together (Holtzman et al. 2020).
        seed: seed of the first sample of all rows; each further sample has the next seed.
    """

    count: int = Field(default=0, ge=0, le=100)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0)
