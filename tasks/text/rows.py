"""Rows and their columns, from a source to a model."""

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
        ("messages", pa.string()),
        ("tools", pa.string()),
    ]
)
"""Columns of ``data/rendered/S.parquet`` and of every split, mixture and evaluation set.

- ``template``: Jinja2 text of the prompt; models store it.
- ``text_column``, ``text``: name and value of the set's first column. Baselines read ``text`` (the dialogue alone), and
  copying is measured on it.
- ``identity``: the set's ``identity`` columns, joined. Rows with equal ``identity`` are the same example, with any
  prompt. It decides on duplicates and contamination.
- ``time``: the value of ``template.time``, as a number or in seconds since 1970.
- ``completion``: the first of ``references``, which training uses.
- ``messages``, ``tools``: of a conversation, as JSON text (``tasks.text.conversations``); null for a row of prompt and
  completion. The text columns of a conversation hold its last assistant message and the history before it.

How a row is scored is no column: ``data/scoring/S.json`` tells it (``tasks.metrics.scoring``).
"""

CONVERSATION = ("messages", "tools")
"""Columns that files of earlier versions lack."""

GROUPED_BY = b"tunesmith.grouped_by"
"""Key of the schema metadata of ``data/rendered/S.parquet``: what decides ``group`` and ``identity``, as JSON."""

TEMPLATES = b"tunesmith.templates"
"""Key of the schema metadata of ``data/rendered/S.parquet`` and of its split's ``test.parquet``: the templates of the
prompts (``tasks.template.stored.SourceTemplates``), as JSON."""


TURN = "#turn"
"""Separates, in the ``row_id`` of an evaluation row, a conversation's ``row_id`` and the number of a turn."""


def row_key(row: Row) -> RowKey:
    """The key of ``row``: two sources may hold one ``row_id``, and a row may have several prompts."""
    return row["source"], row["row_id"], row["template_id"]


def group_key(row: Row) -> tuple[str, str]:
    """The independent group of ``row``: its source and its ``group``, such as a conversation or an author.

    Predictions of an earlier version lack ``group``. Each row is then a group, with all of its prompt variants.
    """
    group = row.get("group")
    return row["source"], row["row_id"] if group is None else group


def without_turn(row_id: str) -> str:
    """The ``row_id`` of the conversation of an evaluation row."""
    return row_id.partition(TURN)[0]


def rendered_columns(table: pa.Table, names: Iterable[str] = RENDERED.names) -> pa.Table:
    """The columns ``names`` of ``RENDERED``; ``CONVERSATION`` is null in a table of an earlier version."""
    fields = [RENDERED.field(name) for name in names]
    columns = [
        pa.nulls(table.num_rows, field.type)
        if field.name in CONVERSATION and field.name not in table.column_names
        else table.column(field.name).cast(field.type)
        for field in fields
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def without_nan(value: Any) -> Any:
    """``value``; None for NaN, which stands for a missing value in numeric tables."""
    return None if isinstance(value, float) and value != value else value


def by_task(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """``SOURCE/TASK`` → its rows."""
    tasks: dict[str, list[Row]] = {}
    for row in rows:
        tasks.setdefault(f"{row['source']}/{row['task']}", []).append(row)
    return tasks
