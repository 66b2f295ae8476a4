"""The rules of ``registration.rules``: what a user demands of a candidate besides the gate's own rules."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tasks.core.errors import did_you_mean
from tasks.core.params import Params
from tasks.metrics.names import HIGHER_IS_BETTER, LOWER_IS_BETTER, OF_ALL_ROWS, SCORES

COSTS = {
    "weights_mb": "trained weights on disk, in MB",
    "training_memory_gb": "peak memory of the training, in GB",
    "generation_memory_gb": "peak memory of the evaluation, in GB",
    "latency_p95_s": "95th percentile of the time for one row alone, in seconds, measured by the gate on this machine",
}
"""Measure of cost → what it is."""

MEANS = (*SCORES, *OF_ALL_ROWS, "unfinished", "validation_loss", "validation_loss_per_byte")
"""Measures that ``metrics.json`` holds, over all test rows (validation rows for the losses)."""

PREFIXES = {
    "benchmark": "SUITE (its average) or SUITE/TASK/METRIC, from reports/benchmarks",
    "helm": "SCENARIO/METRIC, from reports/helm",
    "retention": "SOURCE/TASK, the score on a retention task",
}
"""First part of the other measures → the rest of their names."""


class Rule(Params):
    """One rule. It has either ``over`` (a gain over another model) or limits (``at_least``, ``at_most``).

    Attributes:
        measure: what is measured. With ``over`` it is a score of each row. With limits it is one of ``MEANS`` or
            ``COSTS``, or a name with one of ``PREFIXES``.
        over: the other model: ``baseline``, or the reigning ``champion``. Without a champion the rule passes.
        verdict: ``better`` needs a gain that the rows show; ``not worse`` needs rows that rule out a loss as large as
            the margin (``verdicts`` of ``params/evaluation.yaml``).
        gain: the whole interval of the difference must lie above it, in units of the score; only with ``better``.
        at_least: smallest value that passes.
        at_most: largest value that passes.
        proven: compare the limit with the worse end of the interval, not with the value. A measure without an interval
            then fails.
    """

    measure: str
    over: Literal["baseline", "champion"] | None = None
    verdict: Literal["better", "not worse"] = "better"
    gain: float = Field(default=0.0, ge=0)
    at_least: float | None = None
    at_most: float | None = None
    proven: bool = False

    @field_validator("measure")
    @classmethod
    def _is_known(cls, measure: str) -> str:
        known = (*MEANS, *COSTS)
        prefix, slash, rest = measure.partition("/")
        if measure in known or (slash and rest and prefix in PREFIXES):
            return measure
        prefixes = "; ".join(f"{name}/{text}" for name, text in PREFIXES.items())
        raise ValueError(
            f"measure must be a known one; it is {measure!r}{did_you_mean(measure, known)}; there are: "
            f"{', '.join(known)}; {prefixes}"
        )

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Rule:
        limits = [name for name in ("at_least", "at_most") if getattr(self, name) is not None]
        if self.over is None and not limits:
            raise ValueError(f"the rule on {self.measure} needs `over`, `at_least` or `at_most`; it has none of them")
        if self.over is not None and (limits or self.proven):
            raise ValueError(
                f"the rule on {self.measure} has `over` and {limits[0] if limits else 'proven'!r}; write two rules"
            )
        if self.over is None and (self.gain or self.verdict != "better"):
            raise ValueError(f"the rule on {self.measure}: `verdict` and `gain` need `over`; remove them or add `over`")
        if self.gain and self.verdict != "better":
            raise ValueError(f"the rule on {self.measure}: `gain` needs `verdict: better`; it is {self.verdict!r}")
        compared = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)
        if self.over is not None and self.measure not in compared:
            raise ValueError(
                f"a rule with `over` compares scores of single rows; {self.measure!r} is not one"
                f"{did_you_mean(self.measure, compared)}; there are: {', '.join(compared)}"
            )
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(
                f"the rule on {self.measure}: at_least must not exceed at_most; they are {self.at_least:g} and "
                f"{self.at_most:g}"
            )
        return self

    @property
    def lower_is_better(self) -> bool:
        return self.measure in LOWER_IS_BETTER
