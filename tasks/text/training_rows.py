"""``training_rows.parquet`` of a model: the rows that it and its ancestors were trained on.

The file is stored with the model. So a base that is itself a tuned model still names its ancestors' rows, even if
nothing else of them is left. Texts are stored as hashes, which ignore case, spaces and punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.text.rows import Row
from tasks.text.words import hash64, normalise

NAME = "training_rows.parquet"

SCHEMA = pa.schema(
    [("generation", pa.int64()), ("source", pa.string()), ("row_id", pa.string()), ("text", pa.uint64())]
)
"""``generation``: 0 for the model's own rows, 1 for those of the model that it was tuned from, and so on.

``text``: hash of ``identity``. The prompt variants of an example are one row."""


def text_hash(text: str) -> int:
    """64-bit hash of the words of ``text`` (``normalise``)."""
    return hash64(normalise(text))


def write_training_rows(folder: Path, rows: Sequence[Row], base: Path) -> None:
    """Write the rows of a model with those of ``base``, the folder of its base model; no file if there is no row."""
    own = dict.fromkeys((row["source"], row["row_id"], text_hash(row["identity"] or "")) for row in rows)
    own_rows = pa.Table.from_pylist(
        [{"generation": 0, "source": source, "row_id": row_id, "text": text} for source, row_id, text in own],
        schema=SCHEMA,
    )
    inherited = read_training_rows(base)
    older = inherited.set_column(0, SCHEMA.field(0), pc.add(inherited.column("generation"), 1))
    rows_of_all = pa.concat_tables([own_rows, older])
    if rows_of_all.num_rows:
        pq.write_table(rows_of_all, folder / NAME)


def read_training_rows(folder: Path) -> pa.Table:
    """Read the training rows (columns: ``SCHEMA``) of the model in ``folder``; an empty table if it has no file."""
    path = folder / NAME
    return pq.read_table(path) if path.exists() else SCHEMA.empty_table()


def ancestors_texts(folder: Path) -> set[int]:
    """Hashes of the texts that the ancestors of the model in ``folder`` were trained on."""
    rows = read_training_rows(folder)
    return set(rows.filter(pc.greater(rows.column("generation"), 0)).column("text").to_pylist())
