"""Parameters of the seven metrics: section ``helm`` of ``params/evaluation.yaml``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params
from tasks.metrics.params import IntervalParams


class PerturbationParams(Params):
    """Strength of perturbations.

    Attributes:
        typos: probability that a letter becomes a neighbour on the keyboard.
        spaces: most spaces that replace one space.
        fillers: probability of a filler before a word.
    """

    typos: float = Field(default=0.05, ge=0, le=1)
    spaces: int = Field(default=3, ge=1, le=20)
    fillers: float = Field(default=0.1, ge=0, le=1)


class MemorisationParams(Params):
    """The memorisation test, whose prompts are prefixes of training rows.

    Attributes:
        rows: number of training rows.
        prefix_tokens: tokens of the row in the prompt, after the prefix that all rows share (chat template).
        new_tokens: most tokens to generate.
        span_tokens: tokens of a span that is searched in the training text.
    """

    rows: int = Field(default=24, ge=1)
    prefix_tokens: int = Field(default=50, ge=1)
    new_tokens: int = Field(default=100, ge=1)
    span_tokens: int = Field(default=50, ge=1)


class HelmParams(Params):
    """``evaluation.yaml: helm``.

    Attributes:
        data: folder of the scenarios' files, relative to the workspace; ``--data`` overrides it.
        scenarios: names in ``tasks/benchmark/helm/scenarios.yaml``; None for all.
        exact: also follow HELM where that costs time: MMLU and BBQ by letters after five examples, five samples per
            prompt for toxicity, and only HELM's perturbations.
        rows: rows per scenario, drawn by ``seed``.
        token_budget: most tokens in a batch, padding included.
        max_new_tokens: most new tokens of each generation.
        wide: an interval wider than this is marked in the table.
    """

    data: str | None = None
    scenarios: list[str] | None = Field(default=None, min_length=1)
    exact: bool = False
    rows: int = Field(default=60, ge=4)
    seed: int = 0
    token_budget: int = Field(default=4096, ge=16)
    max_new_tokens: int = Field(default=48, ge=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    wide: float = Field(default=0.3, gt=0)
    perturbations: PerturbationParams = PerturbationParams()
    memorisation: MemorisationParams = MemorisationParams()
    intervals: IntervalParams = IntervalParams()
    threads: int = Field(default=2, ge=1)
