"""``training_rows.parquet`` of a model: which rows it, and the models that it was made from, were trained on.

It travels with the model, so that a base that is itself a tuned model tells its ancestors' rows where nothing else of
them is left. Texts are told by a hash: rows are found again when they equal one but for case, spaces and punctuation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.text.rows import Row
from tasks.text.words import normalise

NAME = "training_rows.parquet"

SCHEMA = pa.schema(
    [("generation", pa.int64()), ("source", pa.string()), ("row_id", pa.string()), ("text", pa.uint64())]
)
"""``generation``: 0 for the model's own rows, 1 for those of the model that it was made from, and so on; ``text``: hash
of ``identity``. Several wordings of an example are one row."""


def text_hash(text: str) -> int:
    """64 bits that are equal for texts of the same words (``normalise``)."""
    return int.from_bytes(hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8).digest())


def write_training_rows(folder: Path, rows: Sequence[Row], base: Path) -> None:
    """Write the rows of a model with those of ``base``, the folder of its base model; no file where there is no row."""
    own = dict.fromkeys((row["source"], row["row_id"], text_hash(row["identity"] or "")) for row in rows)
    mine = pa.Table.from_pylist(
        [{"generation": 0, "source": source, "row_id": row_id, "text": text} for source, row_id, text in own],
        schema=SCHEMA,
    )
    inherited = read_training_rows(base)
    older = inherited.set_column(0, SCHEMA.field(0), pc.add(inherited.column("generation"), 1))
    found = pa.concat_tables([mine, older])
    if found.num_rows:
        pq.write_table(found, folder / NAME)


def read_training_rows(folder: Path) -> pa.Table:
    """The rows (columns: ``SCHEMA``) that the model in ``folder`` carries; none where it carries none."""
    path = folder / NAME
    return pq.read_table(path) if path.exists() else SCHEMA.empty_table()


def ancestors_texts(folder: Path) -> set[int]:
    """Hashes of the texts that the models before the one in ``folder`` were trained on."""
    rows = read_training_rows(folder)
    return set(rows.filter(pc.greater(rows.column("generation"), 0)).column("text").to_pylist())
