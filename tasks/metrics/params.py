"""Parameters of intervals and verdicts. This module is cheap to import: it does not import scipy."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from tasks.core.errors import TunesmithError
from tasks.core.params import Params, load, read_yaml


class IntervalParams(Params):
    """Parameters of bootstrap intervals over independent groups of rows.

    Attributes:
        resamples: number of bootstrap resamples.
        confidence: share of resampled values inside an interval.
        seed: of the resamples.
    """

    resamples: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


MARGINS = {"bleu": 3.0, "chrf": 3.0, "loss_per_byte": 0.01}
"""Default margins of scores that do not run from 0 to 1. 0.01 nats per byte are about 0.04 per token."""


class VerdictParams(Params):
    """``verdicts`` of ``params/evaluation.yaml``: when a difference counts, in every report.

    Attributes:
        margin: two systems are the same if they differ by less; in units of a score from 0 to 1.
        margins: score, or metric of a benchmark → its own margin. A score of ``MARGINS`` that is not named keeps the
            margin there.
        min_groups: fewest independent groups of rows for a verdict. Without ``template.group``, rows with equal inputs
            are one group.
    """

    margin: float = Field(default=0.03, gt=0, lt=1)
    margins: dict[str, float] = Field(default_factory=lambda: dict(MARGINS))
    min_groups: int = Field(default=30, ge=2)

    @field_validator("margins")
    @classmethod
    def _above_zero(cls, margins: dict[str, float]) -> dict[str, float]:
        if wrong := [f"that of {name} is {margin}" for name, margin in margins.items() if not margin > 0]:
            raise ValueError(f"a margin must be above 0; {wrong[0]}")
        return MARGINS | margins

    def margin_of(self, score: str) -> float:
        """The margin of a score column."""
        return self.margins.get(score, self.margin)


def load_verdicts(file: Path) -> VerdictParams:
    """The section ``verdicts`` of ``params/evaluation.yaml``.

    Raises:
        TunesmithError: the section is missing, which DVC does not allow for ``compare``; or a key or value is wrong.
    """
    if "verdicts" not in read_yaml(file):
        raise TunesmithError(f"{file}: verdicts: this key is required; add `verdicts: {{}}`, which means its defaults")
    return load(VerdictParams, file, "verdicts")
