"""Parameters of experiments before they are resolved: names, methods and patches of the defaults."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.params import Params

Patch = dict[str, Any]


class Experiment(Params):
    """``experiments.X``. All but ``method`` and ``mixture`` patch the defaults of ``params/training.yaml``.

    Attributes:
        method: what is trained; ``none`` evaluates the base model as it is.
        mixture: of ``params/mixtures.yaml``.
        launcher: patches how many processes train together.
        training: patches the loop's parameters.
        selective, lora, …: patch the parameters of the method; see ``tasks/train/method_params.py``.
        evaluation: patches ``evaluate`` of ``params/evaluation.yaml``.
    """

    method: str
    mixture: str
    base_model: Patch | None = None
    max_length: int | None = None
    max_dropped: float | None = None
    truncate: str | None = None
    threads: int | None = None
    seed: int | None = None
    launcher: Patch | None = None
    training: Patch = Field(default_factory=dict)
    selective: Patch = Field(default_factory=dict)
    lora: Patch = Field(default_factory=dict)
    adalora: Patch = Field(default_factory=dict)
    adapter: Patch = Field(default_factory=dict)
    ia3: Patch = Field(default_factory=dict)
    prompt_tuning: Patch = Field(default_factory=dict)
    prefix_tuning: Patch = Field(default_factory=dict)
    p_tuning: Patch = Field(default_factory=dict)
    quantisation: Patch = Field(default_factory=dict)
    evaluation: Patch = Field(default_factory=dict)


class TrainingDefaults(Params):
    """``params/training.yaml``: ``defaults`` of every experiment, and of each method under ``methods``."""

    defaults: Patch
    methods: dict[str, Patch]
