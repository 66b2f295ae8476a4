"""What a trial writes, for its stage and for the sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from tasks.core import files
from tasks.core.paths import Paths
from tasks.text.rows import Row

RESULT, LOSSES = "trial.json", "check.parquet"


class Evaluation(TypedDict):
    """The validation loss (nats per supervised token) on the search part, after an epoch."""

    epoch: int
    step: int
    validation_loss: float


@dataclass(frozen=True)
class Result:
    """The outcome of a completed trial.

    Attributes:
        loss: validation loss of the kept checkpoint on the search part.
        evaluations: after each epoch.
        search_rows: validation rows of the search part.
        checked: rows of ``check.parquet``.
    """

    loss: float
    evaluations: list[Evaluation]
    search_rows: int
    checked: list[Row]


def read_result(paths: Paths, name: str) -> Result:
    """Read the outputs of the completed trial ``name``."""
    folder = paths.trial(name)
    result = files.read_json(folder / RESULT)
    checked = files.read_rows(folder / LOSSES)
    return Result(result["validation_loss"], result["evaluations"], result["search_rows"], checked)
