"""Parameters of experiments before they are resolved: names, methods and patches of the defaults."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import Field, create_model, field_validator

from tasks.core.params import Params
from tasks.core.remedies import PatchOf
from tasks.evaluate.params import EvaluateParams
from tasks.memory.params import MemoryParams
from tasks.model.base_models import BaseModelParams
from tasks.tuning import methods
from tasks.tuning.params import LauncherParams, LoopParams, TrainedParams

Patch = dict[str, Any]


class ExperimentKeys(Params):
    """``experiments.X``. All but ``method`` and ``mixture`` patch the defaults of ``params/training.yaml``.

    ``Experiment`` has these keys and one for each parameter block of a method.

    Attributes:
        method: a module of ``tasks/tuning/methods``; ``none`` evaluates the base model as it is.
        mixture: name in ``params/mixtures.yaml``.
        like: another experiment; its keys apply here unless this entry sets them. A key set to null has its
            default. ``method`` and ``mixture`` are repeated here, because ``dvc.yaml`` reads them.
        launcher: patches how many processes train together.
        training: patches the loop's parameters.
        evaluation: patches ``evaluate`` of ``params/evaluation.yaml``.
    """

    method: str
    mixture: str
    like: str | None = None
    base_model: Annotated[Patch, PatchOf(BaseModelParams)] | None = None
    max_length: int | None = None
    beyond_context: bool | None = None
    max_dropped: float | None = None
    truncate: str | None = None
    chat_date: str | date | None = None
    threads: int | None = None
    seed: int | None = None
    launcher: Annotated[Patch, PatchOf(LauncherParams)] | None = None
    training: Annotated[Patch, PatchOf(LoopParams)] = Field(default_factory=dict)
    evaluation: Annotated[Patch, PatchOf(EvaluateParams)] = Field(default_factory=dict)


def method_blocks() -> dict[str, type[Params]]:
    """The parameter blocks of all methods by name, without ``training``, which they share."""
    blocks: dict[str, type[Params]] = {}
    for name in methods.names():
        params = methods.named(name).params
        if issubclass(params, TrainedParams):
            blocks |= params.blocks()
    return blocks


def _patch_fields() -> dict[str, Any]:
    return {
        name: (Annotated[Patch, PatchOf(block)], Field(default_factory=dict)) for name, block in method_blocks().items()
    }


Experiment: type[ExperimentKeys] = create_model("Experiment", __base__=ExperimentKeys, **_patch_fields())
"""``experiments.X`` with the blocks of all methods."""


class TrainingDefaults(Params):
    """``params/training.yaml``: ``defaults`` of every experiment, and of each method under ``methods``.

    ``base_models`` maps names to local folders: a change of their files makes the experiments that use them stale.
    ``memory`` reaches no experiment: ``train`` reads it from this file, so that a change retrains nothing.
    """

    defaults: Patch
    methods: dict[str, Patch]
    base_models: dict[str, str] = Field(default_factory=dict)
    memory: MemoryParams = Field(default_factory=MemoryParams)

    @field_validator("base_models")
    @classmethod
    def _usable_names(cls, folders: dict[str, str]) -> dict[str, str]:
        if "none" in folders:  # build/bases/none.json belongs to the stage no_base
            raise ValueError("'none' cannot be the name of a base model; choose another name")
        return folders
