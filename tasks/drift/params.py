"""Parameters of drift."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tasks.core.params import Params, load, read_yaml


class DriftParams(Params):
    """``drift`` of ``params/evaluation.yaml``: the changes that count. The margin of scores is that of ``verdicts``.

    Attributes:
        length: relative change of the words per input, up or down.
        new_words: rise of the share of an input's words that no training input has.
        unfinished: rise of the share of outputs that reach the length limit.
        confidence: level of the intervals.
        rows: maximum number of training rows to read, those with the lowest hashes.
    """

    length: float = Field(default=0.25, gt=0)
    new_words: float = Field(default=0.05, gt=0, lt=1)
    unfinished: float = Field(default=0.05, gt=0, lt=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    rows: int = Field(default=20_000, ge=100)


def load_drift(file: Path) -> DriftParams:
    """The section ``drift`` of ``params/evaluation.yaml``; its defaults if an earlier version wrote the file."""
    return load(DriftParams, file, "drift") if "drift" in read_yaml(file) else DriftParams()
