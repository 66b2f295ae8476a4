"""The data of a training: its mixture, encoded, with the label contract."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.core import files
from tasks.core.paths import Paths
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.text.rows import Row
from tasks.train.contract import changed, encode_part, summary
from tasks.tuning.params import TrainedParams

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Data:
    """Training and validation rows.

    Attributes:
        rows: training rows as text.
        train: training rows that fit, encoded.
        validation: validation rows that fit, encoded.
        validation_tasks: ``SOURCE/TASK`` of each row of ``validation``.
        labelled: completions are labels, so that validation has an accuracy.
        contract: the label contract of both parts; see ``contract.encode_part``.
    """

    rows: list[Row]
    train: list[Encoded]
    validation: list[Encoded]
    validation_tasks: list[str]
    labelled: bool
    contract: dict[str, Any]


def load_data(
    name: str,
    params: TrainedParams,
    renderer: Renderer,
    paths: Paths,
    validates: Callable[[Row], bool] = lambda row: True,
) -> Data:
    """Read and encode the mixture of the experiment ``name``, and log a line for each part.

    Args:
        validates: whether training evaluates a validation row; a trial of a sweep leaves some for the final check.

    Raises:
        TunesmithError: the rows break the label contract.
    """
    folder = paths.mixture(params.mixture)
    parts = {part: files.read_rows(folder / f"{part}.parquet") for part in ("train", "validation")}
    parts["validation"] = list(filter(validates, parts["validation"]))
    kept, contract = {}, {}
    for part, rows in parts.items():
        kept[part], contract[part] = encode_part(rows, renderer, params, part)
    for part in parts:
        logger.info(summary(name, part, contract[part]))
        for line in changed(contract[part]):
            logger.warning("%s: %s rows: %s", name, part, line)
    labelled = any(row["answer_choices"] for row in parts["validation"])
    return Data(
        rows=parts["train"],
        train=[encoded for _, encoded in kept["train"]],
        validation=[encoded for _, encoded in kept["validation"]],
        validation_tasks=[f"{row['source']}/{row['task']}" for row, _ in kept["validation"]],
        labelled=labelled,
        contract=contract,
    )
