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
from tasks.train.contract import changed, encode_rows, summary
from tasks.tuning.params import TrainedParams

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Data:
    """Training and validation rows.

    Attributes:
        rows: training rows as text.
        train: training rows that fit, encoded.
        validation: validation rows that fit, encoded.
        labelled: completions are labels, so that validation has an accuracy.
        contract: the label contract of both parts; see ``contract.encode_rows``.
    """

    rows: list[Row]
    train: list[Encoded]
    validation: list[Encoded]
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
    encoded, contract = {}, {}
    for part, rows in parts.items():
        encoded[part], contract[part] = encode_rows(rows, renderer, params, part)
    for part in parts:
        logger.info(summary(name, part, contract[part]))
        for line in changed(contract[part]):
            logger.warning("%s: %s rows: %s", name, part, line)
    labelled = any(row["answer_choices"] for row in parts["validation"])
    return Data(parts["train"], encoded["train"], encoded["validation"], labelled, contract)
