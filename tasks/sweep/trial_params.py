"""``params/trials.yaml``: the trials of all sweeps, written by ``tunesmith sweep``. Each one is a stage of DVC."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tasks.core.params import Params


class ValidationParts(Params):
    """How the validation rows of a trial are divided; see ``tasks.sweep.parts``.

    Attributes:
        check_share: share of the groups that the search does not see.
        seed: of the division.
    """

    check_share: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


class TrialParams(Params):
    """``trials.NAME``: everything that a trial depends on besides code and data.

    Attributes:
        sweep: name of the sweep.
        method, mixture: as in ``train``; ``dvc.yaml`` reads them here.
        base: name in ``base_models`` of a local base model; ``none`` for others.
        validation: which validation rows the trial sees.
        train: the resolved parameters of training.
    """

    sweep: str
    method: str
    mixture: str
    base: str
    validation: ValidationParts
    train: dict[str, Any]
