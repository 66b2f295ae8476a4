"""Parameters of the gate, which decides what enters the registry."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tasks.gate.rules import Rule
from tasks.metrics.names import row_score
from tasks.metrics.params import IntervalParams

PRIMARY = "primary"
"""Value of ``metric`` that stands for the primary metric of the comparison."""

PREVIOUS, CHALLENGER, AWAITING = "previous", "challenger", "awaiting-approval"
"""Aliases beside the champion's: the champion before it, the latest model that the gate did not accept, and the model
that awaits a person's approval."""


class RegistrationParams(IntervalParams):
    """``registration`` in ``params/registration.yaml``, with the intervals of the paired bootstrap.

    Attributes:
        model_name: name of the registered model in MLflow.
        alias: alias of the champion, ``models:/<model_name>@<alias>``.
        metric: score column of ``predictions.parquet`` that decides; higher is better. ``primary`` takes the primary
            metric of the comparison.
        baseline: experiment that a candidate must beat, whichever model is the champion.
        retention: ``kept`` refuses a candidate that lost a task of ``evaluation_set.retention``, or a suite that
            ``benchmark.experiments`` plans for it and for the baseline; ``proven`` also refuses one that has too few
            rows to show that it kept them; ``shown`` only reports it.
        min_groups: fewest independent groups of clean test rows for a decision; with fewer, the verdict is
            ``undecided``. Without ``template.group``, rows with equal inputs are one group.
        min_label_rows: the candidate must predict, at least once, every label that has at least this many test rows;
            None turns the check off. Why 3: suppose that a model ignores the text, but predicts a label at its true
            rate of 3 in ``n`` rows. It misses the label altogether with probability ``(1 - 3/n)**n``, which is below
            0.05.
        looks: ``each`` takes ``confidence`` for each decision. ``spend`` divides the level over all decisions on one
            test set (``tasks.gate.looks.spent``). The chance that any of them promotes a candidate without a gain
            then stays at ``1 - confidence``.
        beyond_seeds: whether the gain over each opponent must also exceed what another seed alone gives
            (``tasks.metrics.seeds.Spread.gain_needed``); needs three seeds of the candidate.
        rules: further rules; a candidate must pass all of them.
        approval: ``manual`` lets a person decide on each model that the gate accepts.
    """

    model_name: str = "tunesmith"
    alias: str = "champion"
    metric: str = PRIMARY
    baseline: str = "base"
    retention: Literal["shown", "kept", "proven"] = "shown"
    min_groups: int = Field(default=30, ge=2)
    min_label_rows: int | None = Field(default=3, ge=1)
    looks: Literal["each", "spend"] = "each"
    beyond_seeds: bool = False
    rules: list[Rule] = Field(default_factory=list)
    approval: Literal["automatic", "manual"] = "automatic"

    @field_validator("metric")
    @classmethod
    def _is_a_row_score(cls, value: str) -> str:
        return value if value == PRIMARY else row_score(value)

    @model_validator(mode="before")
    @classmethod
    def _names_the_new_key(cls, data: Any) -> Any:
        if isinstance(data, dict) and "min_rows" in data:
            raise ValueError(
                f"min_rows is now min_groups, which counts independent groups of clean rows; min_rows is "
                f"{data['min_rows']!r}; rename the key"
            )
        return data

    @field_validator("model_name")
    @classmethod
    def _is_a_model_name(cls, value: str) -> str:
        if not re.fullmatch(r"\w[\w .-]*", value):
            raise ValueError(
                "a model's name in MLflow may have letters, digits, '_', '-', '.' and spaces, and must start with a "
                f"letter, a digit or '_'; it is {value!r}; rename it"
            )
        return value

    @field_validator("alias")
    @classmethod
    def _is_an_alias(cls, value: str) -> str:
        if not re.fullmatch(r"[\w-]+", value) or re.fullmatch(r"latest|v\d+", value.lower()):
            raise ValueError(
                "MLflow's alias must be letters, digits, '_' and '-', and neither 'latest' nor 'v' with a number; it "
                f"is {value!r}; rename it"
            )
        if value in (PREVIOUS, CHALLENGER, AWAITING):
            raise ValueError(f"Tunesmith sets the alias {value!r} itself; give the champion's alias another name")
        return value
