"""The file of a sweep: the experiment it starts from, the space, and how the space is searched."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.core.files import canonical_json
from tasks.core.params import Params

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""The name of a sweep begins the names of stages and of an experiment."""


class Dimension(Params):
    """The values of one key: ``low`` to ``high``, or ``choices``.

    Attributes:
        low, high: smallest and largest value.
        log: sample uniformly in the logarithm, so that 1e-4 to 1e-3 is as likely as 1e-3 to 1e-2.
        step: distance of neighbouring values, which begin at ``low``; for a key with whole numbers it is 1 by default.
        choices: all values.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    step: int | float | None = None
    choices: list[Any] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log or self.step is not None:
                raise ValueError(
                    "must have either choices, or low and high (with log or step), not both; remove one of them"
                )
            if len({canonical_json(choice) for choice in self.choices}) < max(2, len(self.choices)):
                raise ValueError(f"choices must be at least two different values; they are {self.choices}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("must have low and high, or choices; add them")
        self._check_range(self.low, self.high)
        return self

    def _check_range(self, low: float, high: float) -> None:
        if not low < high:
            raise ValueError(f"low must be less than high; low is {low}, high is {high}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; remove one of them")
        if self.log and low <= 0:
            raise ValueError(f"low must be above 0 with log; it is {low}")
        if self.step is not None and not 0 < self.step <= high - low:
            raise ValueError(f"step must be above 0 and at most high - low, which is {high - low}; it is {self.step}")

    @property
    def ends(self) -> list[Any]:
        """All choices, or the smallest and the largest value."""
        return [self.low, self.high] if self.choices is None else self.choices


class SweepParams(Params):
    """A sweep.

    Attributes:
        name: begins the names of the trials; the winner becomes the experiment ``NAME_best``.
        like: the experiment that the sweep starts from; every trial has its method, mixture and keys.
        space: ``BLOCK.KEY`` of the experiment → its values.
        trials: number of trials that end completed or pruned; ``grid`` takes all points by default.
        seed: of the sampler and of the split of the validation rows.
        sampler: ``tpe`` learns from earlier trials, ``random`` does not, ``grid`` tries every point once.
        startup_trials: trials before ``tpe`` learns, and completed trials before a trial is pruned.
        pruner: ``median`` stops a training whose lowest validation loss so far is above the median of the completed
            trials at the same epoch; ``none`` never does.
        warmup_epochs: epochs that every training has before it may be pruned.
        check_share: share of the validation groups that the search does not see.
    """

    name: str
    like: str
    space: dict[str, Dimension] = Field(min_length=1)
    trials: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    startup_trials: int = Field(default=5, ge=1)
    pruner: Literal["median", "none"] = "median"
    warmup_epochs: int = Field(default=1, ge=1)
    check_share: float = Field(default=0.5, gt=0, lt=1)

    @field_validator("name", mode="after")
    @classmethod
    def _can_be_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            rule = "a name must be text of lower-case letters, digits, '-' and '_', and begin with a letter or digit"
            raise ValueError(f"{rule}; it is {name!r}")
        return name

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.trials is None and self.sampler != "grid":
            raise ValueError(
                f"trials: sampler {self.sampler!r} needs the number of trials; add it (such as `trials: 20`)"
            )
        return self
