"""Parameters of splitting a source."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.params import Params

PARTS = ("train", "validation", "test")


class Fractions(Params):
    """Shares of the groups; they sum to 1."""

    train: float = Field(ge=0, le=1)
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Fractions:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(
                f"fractions sum to {total:g}; they must sum to 1.0 "
                f"(train {self.train:g}, validation {self.validation:g}, test {self.test:g})"
            )
        return self


class SplitParams(Params):
    """``sources.S.split``.

    Attributes:
        by: ``hash`` puts each group on a side by a hash of seed and group, so that new rows move no old one;
            ``file`` takes the parts as the source's files give them.
        fractions: of ``by: hash``.
        files: of ``by: file``: part → names of files without their ending. A file not named is an error.
        validation_fraction: of ``by: file``: share of the training groups that become validation rows,
            when no file gives them.
        limit: part → most rows kept, those with the lowest hash of seed and row_id.
        min_rows: fewest rows that each part must have.
        seed: of the hashes.
    """

    by: Literal["hash", "file"] = "hash"
    fractions: Fractions = Fractions(train=0.8, validation=0.1, test=0.1)
    files: dict[Literal["train", "validation", "test"], list[str]] = Field(default_factory=dict)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    limit: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    min_rows: int = Field(default=1, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _files_named(self) -> SplitParams:
        if self.by == "file" and not (self.files.get("train") and self.files.get("test")):
            raise ValueError("files: `by: file` needs the names of the files for train and for test")
        named = Counter(name for names in self.files.values() for name in names)
        if twice := [name for name, count in named.items() if count > 1]:
            raise ValueError(f"files: a file belongs to one part; named more than once: {', '.join(twice)}")
        return self
