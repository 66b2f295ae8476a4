"""Rendered rows, and what ``split`` makes of them."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pyarrow as pa
import pytest

from tasks.core.errors import TunesmithError
from tasks.split.assign import COLUMNS, Split, split
from tasks.split.assignments import Assignments
from tasks.split.params import PARTS, SplitParams
from tasks.text.rows import RENDERED
from tests.text.similarity import similarity

Rows = list[dict[str, Any]]

FILES = {"train": ["a_train"], "test": ["z_test"]}


def row(i: int, group: str | None = None, file: str = "f", **more: Any) -> dict[str, Any]:
    """A rendered row; by default its own group, with its own text (one word)."""
    changes = {"group": group or f"g{i}", "source_file": file, "source_line": i, **more}
    return {"row_id": f"r{i}", "task": "k", "template_id": "t", "identity": f"p{i}", "completion": f"c{i}", **changes}


def table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([RENDERED.field(name) for name in COLUMNS]))


def ids(rows: Rows) -> list[str]:
    return [r["row_id"] for r in rows]


def decide(
    rows: Rows, earlier: Assignments | None = None, **params: Any
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The row ids of each part, and how many rows were dropped for each reason."""
    decided = split(table(rows), SplitParams(**params), "s", earlier)
    dropped: dict[str, int] = {}
    for reason in filter(None, decided.reason):
        dropped[reason] = dropped.get(reason, 0) + 1
    return {part: [rows[i]["row_id"] for i in decided.rows(part)] for part in PARTS}, dropped


def parts_of(rows: Rows, **params: Any) -> dict[str, list[str]]:
    return decide(rows, **params)[0]


def by_file(rows: Rows, **params: Any) -> tuple[dict[str, list[str]], dict[str, int]]:
    return decide(rows, by="file", **{"files": FILES, **params})


def error_of(rows: Rows, **params: Any) -> str:
    with pytest.raises(TunesmithError) as caught:
        parts_of(rows, **params)
    return str(caught.value)


SENTENCE = (
    "The parcel that I ordered three weeks ago has not come yet and nobody at the shop answers my calls or letters so "
    "please send me another one or my money"
)
PLANTED = {
    "exact": SENTENCE,
    "case-changed": SENTENCE.upper(),
    "punctuation": f"  {SENTENCE.replace(' ', ', ')}!",
    "one word changed": SENTENCE.replace("nobody", "somebody"),
}


def text(i: int, words: int = 30) -> str:
    """A text of words that no other number has."""
    return " ".join(f"w{i}x{k}" for k in range(words))


def line(start: int, words: int = 40) -> str:
    """Words of one long line: two lines 20 apart are similar by 0.29, one half way between is a near-duplicate of both
    (0.57)."""
    return " ".join(f"w{i}" for i in range(start, start + words))


def straddling(rows: Rows, decided: Split) -> list[tuple[str, str]]:
    """Pairs of rows in two parts that belong together, by the definition."""
    kept = [(r, part) for r, part in zip(rows, decided.part.tolist(), strict=True) if part >= 0]
    return [
        (a["row_id"], b["row_id"])
        for (a, one), (b, other) in combinations(kept, 2)
        if one != other and (a["group"] == b["group"] or similarity(a["identity"], b["identity"]) >= 0.5)
    ]
