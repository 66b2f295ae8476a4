"""Parameters of the gate before the registry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.params import Params


class RegistrationParams(Params):
    """``registration`` in ``params/registration.yaml``.

    Attributes:
        model_name: registered model in MLflow.
        alias: of its version that reigns: ``models:/<model_name>@<alias>``.
        metric: score column of ``predictions.parquet`` that decides; higher is better.
        baseline: experiment that a candidate must beat whoever reigns.
        retention: ``kept`` refuses a candidate that lost a task of ``evaluation_set.retention``, or a suite that
            ``benchmark.experiments`` plans for it and for the baseline; ``shown`` only says so.
        resamples: of the paired bootstrap.
        confidence: of its interval.
        seed: of its resampling.
    """

    model_name: str = "tunesmith"
    alias: str = "champion"
    metric: str = "rouge1_f"
    baseline: str = "base"
    retention: Literal["shown", "kept"] = "shown"
    resamples: int = Field(default=1000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
