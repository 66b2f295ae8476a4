"""``reports/predictions/X/``: what ``predict@X`` writes and ``score@X`` reads.

- ``test.parquet`` (``TEST``): one completion per test row.
- ``samples.parquet`` (``DRAWN``): the sampled completions, if ``sampling.count`` is above 0.
- ``retention.parquet`` (``RETAINED``): completions of the retention rows, if there are any.
- ``retired.parquet`` (``RETIRED``): completions of rows of earlier test sets, if there are any.
- ``validation.parquet`` (``VALIDATION``): the likelihood of each validation completion.
- ``model.json``: facts about the model and its prompts (``Predictions.about``).
- ``inference.json``: how the completions were generated (``tasks.evaluate.inference_settings``).
- ``canary.json``: what the model generates for fixed prompts (``tasks.evaluate.canary``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.text.rows import Row

MODEL = "model.json"
INFERENCE = "inference.json"
CANARY = "canary.json"

_ROW = [("row", pa.int64()), ("source", pa.string()), ("row_id", pa.string()), ("template_id", pa.string())]
_COMPLETION = [("completion", pa.string()), ("new_tokens", pa.int64()), ("finished", pa.bool_())]

TEST = pa.schema([*_ROW, *_COMPLETION, ("of_ancestor", pa.bool_())])
"""``row``: number of the row in its file of ``data/evaluation``, from 0. ``of_ancestor``: whether a model from
which this one was tuned was trained on the row's text."""

DRAWN = pa.schema([("sample", pa.int64()), *_ROW, *_COMPLETION])
"""``sample``: number of the draw, from 0."""

RETAINED = pa.schema([*_ROW, *_COMPLETION, ("loss_per_byte", pa.float64())])
"""``loss_per_byte``: negative log-likelihood of the first reference, in nats per byte."""

RETIRED = pa.schema([*_ROW, *_COMPLETION])

VALIDATION = pa.schema([*_ROW, ("nll", pa.float64()), ("tokens", pa.int64()), ("exact", pa.bool_())])
"""``nll``: negative log-likelihood of the completion in nats, end token included; ``tokens``: its supervised tokens;
``exact``: whether greedy decoding gives exactly the completion."""


def row_columns(rows: Sequence[Row], numbers: Iterable[int] | None = None) -> list[Row]:
    """The columns that identify each row; ``numbers`` are the rows' positions in their file, by default 0, 1, 2, …"""
    numbered = zip(range(len(rows)) if numbers is None else numbers, rows, strict=True)
    names = ("source", "row_id", "template_id")
    return [{"row": number, **{name: row[name] for name in names}} for number, row in numbered]


def completion_columns(completions: Iterable[Any]) -> list[Row]:
    """The columns of each completion (``Generated``)."""
    return [{"completion": c.text, "new_tokens": c.new_tokens, "finished": c.finished} for c in completions]


def validation_loss_per_byte(rows: Sequence[Row], nll: Sequence[float]) -> float:
    """Nats per byte of the completions of ``rows``."""
    return sum(nll) / sum(len(row["completion"].encode()) for row in rows)


@dataclass(frozen=True)
class Predictions:
    """A folder of predictions, and the evaluation set that they belong to."""

    folder: Path
    evaluation_set: Path

    def about(self) -> dict[str, Any]:
        """Read ``model.json``: ``experiment``, ``key``, ``mixture``, the ``templates`` and ``tasks`` of training,
        ``generation``, ``sampling``, and ``model``, the facts that reports show."""
        about: dict[str, Any] = files.read_json(self.folder / MODEL)
        return about

    def read(self, file: str, part: str) -> list[tuple[Row, Row]]:
        """Read (row of ``part`` of the evaluation set, its prediction) per row of ``file``; empty without the file.

        Raises:
            TunesmithError: the evaluation set has another row at a prediction's position.
        """
        if not (self.folder / file).exists():
            return []
        rows = files.read_rows(self.evaluation_set / f"{part}.parquet")
        pairs = []
        for predicted in files.read_rows(self.folder / file):
            position = predicted["row"]
            names = ("source", "row_id", "template_id")
            if position >= len(rows) or any(rows[position][name] != predicted[name] for name in names):
                raise TunesmithError(
                    f"{self.folder / file}: must hold predictions for the rows of {self.evaluation_set}; row "
                    f"{predicted['row_id']} of {predicted['source']} is not row {position} of {part}.parquet; run "
                    "`tunesmith run` (or `dvc repro`) to generate them anew"
                )
            pairs.append((rows[position], predicted))
        return pairs
