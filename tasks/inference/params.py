"""Parameters of generation. Light: nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params


class GenerationParams(Params):
    """Greedy generation, or beam search where ``num_beams`` is more than 1.

    Attributes:
        max_new_tokens: an answer that has not ended by then is cut and counted as unfinished.
        num_beams: continuations kept at each step, of which the likeliest whole answer is given.
        token_budget: tokens that are held at once, new tokens and all beams included, and padding where there is any.
        precision: ``bf16`` holds the weights in bf16; ``auto`` where that is faster here.
    """

    max_new_tokens: int = Field(default=96, ge=1)
    num_beams: int = Field(default=1, ge=1, le=32)
    token_budget: int = Field(default=8192, ge=16)
    precision: Literal["auto", "bf16", "fp32"] = "auto"


class SamplingParams(Params):
    """Answers drawn at random beside the greedy one, which all other scores are of.

    Attributes:
        count: answers drawn for each row; none by default.
        temperature: divides the logits; lower is nearer to greedy.
        top_p: draws from the likeliest tokens that have this probability together (Holtzman et al. 2020).
        seed: of the first drawing of all rows; each further one has the next.
    """

    count: int = Field(default=0, ge=0, le=100)
    temperature: float = Field(default=0.7, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0)
