"""What a rendered row looks like: text on its way from a source to a model."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

Row = dict[str, Any]
"""A row of a table: column → value."""

ROW_KEY = ("source", "row_id", "template_id")
"""The columns that name a rendered row, and its prediction, in every file."""

RowKey = tuple[str, str, str]
"""The values of ``ROW_KEY``."""

RENDERED = pa.schema(
    [
        ("row_id", pa.string()),
        ("source", pa.string()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("task", pa.string()),
        ("template_id", pa.string()),
        ("template", pa.string()),
        ("text_column", pa.string()),
        ("group", pa.string()),
        ("time", pa.float64()),
        ("identity", pa.string()),
        ("text", pa.string()),
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("references", pa.list_(pa.string())),
        ("answer_choices", pa.list_(pa.string())),
        ("metrics", pa.list_(pa.string())),
    ]
)
"""Columns of ``data/rendered/S.parquet`` and of every split, mixture and evaluation set.

``template`` is the Jinja2 text of the prompt, so that a model can tell how it was asked; ``text_column``
is the name of the set's first column and ``text`` the value that it has. Baselines read ``text`` (the
dialogue alone) and copying is measured on it. ``identity`` is what makes a row the same example as another,
whatever the wording: the set's ``identity`` columns, joined; duplicates and contamination are told by it.
``time`` is the value of ``template.time``, in seconds or as the number that it is. ``completion`` is the first
of ``references``: what training learns. ``metrics`` are the names of those that its template is scored by.
"""

GROUPED_BY = b"tunesmith.grouped_by"
"""Key of the schema metadata of ``data/rendered/S.parquet``: what made ``group`` and ``identity``, as JSON."""

TEMPLATES = b"tunesmith.templates"
"""Key of the schema metadata of ``data/rendered/S.parquet`` and of ``test.parquet`` of its split: the templates of the
prompts (``tasks.template.stored.SourceTemplates``), as JSON."""


def row_key(row: Row) -> RowKey:
    """The key of ``row``: two sources may hold one ``row_id``, and a row may have several prompts."""
    return row["source"], row["row_id"], row["template_id"]


def without_nan(value: Any) -> Any:
    """``value``, or None for NaN, with which numeric tables mark a missing value."""
    return None if isinstance(value, float) and value != value else value


def by_task(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """``SOURCE/TASK`` → its rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(f"{row['source']}/{row['task']}", []).append(row)
    return found
