"""Parameters of experiments before they are resolved: names, methods and patches of the defaults."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from tasks.core.params import Params
from tasks.core.remedies import PatchOf
from tasks.evaluate.params import EvaluateParams
from tasks.memory.params import MemoryParams
from tasks.model.base_models import BaseModelParams
from tasks.tuning import method_params
from tasks.tuning.params import LauncherParams, LoopParams

Patch = dict[str, Any]


class Experiment(Params):
    """``experiments.X``. All but ``method`` and ``mixture`` patch the defaults of ``params/training.yaml``.

    Attributes:
        method: what is trained; ``none`` evaluates the base model as it is.
        mixture: of ``params/mixtures.yaml``.
        launcher: patches how many processes train together.
        training: patches the loop's parameters.
        selective, lora, …: patch the parameters of the method; see ``tasks/tuning/method_params.py``.
        evaluation: patches ``evaluate`` of ``params/evaluation.yaml``.
    """

    method: str
    mixture: str
    base_model: Annotated[Patch, PatchOf(BaseModelParams)] | None = None
    max_length: int | None = None
    max_dropped: float | None = None
    truncate: str | None = None
    threads: int | None = None
    seed: int | None = None
    launcher: Annotated[Patch, PatchOf(LauncherParams)] | None = None
    training: Annotated[Patch, PatchOf(LoopParams)] = Field(default_factory=dict)
    selective: Annotated[Patch, PatchOf(method_params.SelectiveParams)] = Field(default_factory=dict)
    lora: Annotated[Patch, PatchOf(method_params.LoraParams)] = Field(default_factory=dict)
    adalora: Annotated[Patch, PatchOf(method_params.AdaloraParams)] = Field(default_factory=dict)
    adapter: Annotated[Patch, PatchOf(method_params.AdapterParams)] = Field(default_factory=dict)
    ia3: Annotated[Patch, PatchOf(method_params.Ia3Params)] = Field(default_factory=dict)
    prompt_tuning: Annotated[Patch, PatchOf(method_params.PromptTuningParams)] = Field(default_factory=dict)
    prefix_tuning: Annotated[Patch, PatchOf(method_params.PrefixTuningParams)] = Field(default_factory=dict)
    p_tuning: Annotated[Patch, PatchOf(method_params.PTuningParams)] = Field(default_factory=dict)
    quantisation: Annotated[Patch, PatchOf(method_params.QuantisationParams)] = Field(default_factory=dict)
    evaluation: Annotated[Patch, PatchOf(EvaluateParams)] = Field(default_factory=dict)


class TrainingDefaults(Params):
    """``params/training.yaml``: ``defaults`` of every experiment, and of each method under ``methods``.

    ``memory`` reaches no experiment: ``train`` reads it from this file, so that a change retrains nothing.
    """

    defaults: Patch
    methods: dict[str, Patch]
    memory: MemoryParams = Field(default_factory=MemoryParams)
