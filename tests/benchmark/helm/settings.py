"""Settings of a measurement that takes seconds."""

from __future__ import annotations

from tasks.benchmark.helm.params import HelmParams, MemorisationParams
from tasks.metrics.params import IntervalParams

INTERVALS = IntervalParams(resamples=200)
PARAMS = HelmParams(
    rows=8,
    token_budget=2048,
    max_new_tokens=8,
    precision="fp32",
    intervals=INTERVALS,
    memorisation=MemorisationParams(rows=4, prefix_tokens=4, new_tokens=12, span_tokens=4),
    threads=1,
)
