"""Parameters of the stage ``split@S``."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.core.params import Params
from tasks.text.near_duplicates import NearDuplicateParams

PARTS = ("train", "validation", "test")

RETIRED = "retired"
"""The part of earlier test rows. They never become training rows, and no later test set holds them again."""

ALL_PARTS = (*PARTS, RETIRED)
"""Parts by their numbers. A row whose file has a later part keeps its whole cluster in that part."""

CutOff = str | float | int

_USED_BY: dict[str, tuple[str, ...]] = {
    "fractions": ("hash",),
    "files": ("file",),
    "validation_from": ("time",),
    "test_from": ("time",),
    "validation_fraction": ("file", "time"),
    "test_set": ("hash",),
    "min_test_groups": ("hash",),
}
"""Key of ``SplitParams`` → the values of ``by`` that use it; the other keys are used by all."""


class Fractions(Params):
    """Shares of the clusters in each part; they sum to 1."""

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

    A *cluster* is a set of rows that must stay together: the rows of a group, and all rows whose texts are equal to
    theirs or near-duplicates.

    Attributes:
        by: ``hash`` assigns each cluster to a part by a hash of seed and group, so that new rows move no old one;
            ``file`` takes the parts as the source's files give them; ``time`` cuts at ``validation_from`` and
            ``test_from``. If files or times put a cluster in several parts, the later part keeps it.
        fractions: shares of the parts, for ``by: hash``.
        files: part → names of files without their ending, for ``by: file``. A file that no part names is an error. A
            benchmark names only ``test``; its other parts are empty. ``retired`` names files of earlier test rows.
        validation_from, test_from: first moment of the part, for ``by: time``: an ISO 8601 date or time (in quotes,
            since DVC refuses a YAML date; without a zone it is UTC), or a number, in the unit of the rows' ``time``.
        validation_fraction: share of the training clusters that become validation rows, for ``by: file`` and
            ``by: time``, if no file and no ``validation_from`` gives validation rows.
        near_duplicates: when two texts (``identity``) are near-duplicates; null joins only texts with the same words.
        stratify: ``task``, ``label`` (the completion of rows with ``answer_choices``) or both. New clusters are
            assigned in the order of their hashes, so that each stratum meets the shares. Earlier assignments stay and
            clusters are not cut, so the shares are met approximately; ``splits.json`` has the actual shares.
        limit: part → most rows to keep: those kept before, then those with the lowest hash of seed and row_id.
        max_dropped: the stage stops if a larger share of rows is dropped because their cluster is in a later part, or
            because they would bridge two parts. Duplicates and rows over a limit do not count.
        min_rows: fewest rows of each required part.
        test_set: number of the test set, for ``by: hash``. A higher number than before retires the present test rows,
            and draws test rows that no experiment has seen (``tunesmith testset rotate``).
        min_test_groups: fewest groups of a test set that is drawn for a higher ``test_set``.
        seed: seed of the hashes.
    """

    by: Literal["hash", "file", "time"] = "hash"
    fractions: Fractions = Fractions(train=0.8, validation=0.1, test=0.1)
    files: dict[Literal["train", "validation", "test", "retired"], list[str]] = Field(default_factory=dict)
    validation_from: CutOff | None = None
    test_from: CutOff | None = None
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    near_duplicates: NearDuplicateParams | None = NearDuplicateParams()
    stratify: list[Literal["task", "label"]] = Field(default_factory=list)
    limit: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    max_dropped: float = Field(default=0.2, ge=0, le=1)
    min_rows: int = Field(default=1, ge=1)
    test_set: int = Field(default=1, ge=1)
    min_test_groups: int = Field(default=30, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _only_keys_that_are_used(self) -> SplitParams:
        for name in sorted(self.model_fields_set & _USED_BY.keys()):
            if self.by not in _USED_BY[name] and getattr(self, name) is not None:
                users = " and ".join(f"`by: {by}`" for by in _USED_BY[name])
                raise ValueError(
                    f"{name}: only {users} {'uses' if len(_USED_BY[name]) == 1 else 'use'} it; this is "
                    f"`by: {self.by}`; remove it or change `by`"
                )
        return self

    @model_validator(mode="after")
    def _files_named(self) -> SplitParams:
        if self.by == "file" and not self.files.get("test"):
            raise ValueError("files: `by: file` needs the names of the files for test")
        named = Counter(name for names in self.files.values() for name in names)
        if twice := [name for name, count in named.items() if count > 1]:
            raise ValueError(f"files: a file belongs to one part; named more than once: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _cut_offs_in_order(self) -> SplitParams:
        if self.by != "time":
            return self
        given = {name: getattr(self, name) for name in ("validation_from", "test_from")}
        if self.test_from is None:
            raise ValueError("test_from: `by: time` needs the first moment of the test rows")
        moments = [moment(value, name) for name, value in given.items() if value is not None]
        if moments != sorted(moments):
            raise ValueError(
                f"validation_from: {self.validation_from} must not be later than test_from, {self.test_from}"
            )
        return self

    @model_validator(mode="after")
    def _shares_to_meet(self) -> SplitParams:
        if self.stratify and not self.shares():
            raise ValueError(f"stratify: `by: {self.by}` decides every part here, so there are no shares to meet")
        return self

    def shares(self) -> dict[str, float]:
        """Part → its share of the clusters that the hash assigns; empty if the hash assigns none.

        The hash assigns all clusters, or only the training ones. The first part gets the lowest hashes.
        """
        if self.by == "hash":
            return {part: getattr(self.fractions, part) for part in PARTS}
        given = self.validation_from is not None if self.by == "time" else bool(self.files.get("validation"))
        if given or "train" not in self.required_parts():
            return {}
        return {"validation": self.validation_fraction, "train": 1 - self.validation_fraction}

    def deciding(self) -> dict[str, Any]:
        """The values that decide the assignment, of the keys that ``by`` uses.

        If one of them changes, earlier assignments are void. They are listed by hand, so that a new key with a default
        voids no split. ``permutations`` and ``seed`` of ``near_duplicates`` are not among them, since they affect only
        the search for pairs, nor are limits, which only hide rows. ``test_set`` is not, since it retires test rows and
        moves no other row.
        """
        near = self.near_duplicates
        given = {name: getattr(self, name) for name in ("files", "validation_from", "test_from")}
        return {
            "by": self.by,
            "shares": self.shares(),
            "given": {name: value for name, value in given.items() if self.by in _USED_BY[name]},
            "near_duplicates": near and [near.threshold, near.ngram],
            "stratify": self.stratify,
            "seed": self.seed,
        }

    def required_parts(self) -> list[str]:
        """The parts that must have rows."""
        if self.by == "hash":
            return [part for part in PARTS if getattr(self.fractions, part) > 0]
        if self.by == "time" or self.files.get("train"):
            return list(PARTS)
        return [part for part, names in self.files.items() if names and part != RETIRED]


def moment(value: CutOff, name: str) -> float:
    """Convert a cut-off to the unit of the rows' ``time``: a number stays, an ISO 8601 text becomes seconds since 1970.

    Raises:
        ValueError: ``value`` is neither a number nor such a text.
    """
    if not isinstance(value, str):
        return float(value)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{name}: must be a number or an ISO 8601 date or time; it is {value!r}") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
