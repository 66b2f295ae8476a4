"""Parameters of sources: format of the files, data sets of the hub, and the demo's chats."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.core.params import Params


class IngestParams(Params):
    """``sources.S.ingest``.

    Attributes:
        format: format of every file of the source; ``auto`` recognises it by first bytes and the ending of the name.
        delimiter: delimiter of every CSV file of the source; ``auto`` recognises a comma, semicolon, tab or pipe in
            each file from its header and first rows.
        sheet: name of the sheet in every Excel workbook of the source; None for the only sheet.
        required: columns that each row must have.
        limit: rows kept of each file, from its beginning; None keeps all.
        withheld: row_ids that no later stage sees (``tunesmith forget``).
    """

    format: Literal["auto", "jsonl", "json", "csv", "excel", "parquet", "arrow"] = "auto"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    sheet: str | None = None
    required: list[str] = Field(default_factory=list)
    limit: int | None = Field(default=None, ge=1)
    withheld: list[str] = Field(default_factory=list)


class HubParams(Params):
    """``hub.S``: a data set of the Hugging Face hub, fetched once into ``data/sources/S``.

    Attributes:
        hub: id such as ``knkarthick/dialogsum``.
        revision: commit hash (40 hex digits), so that a later fetch gives the same rows.
        config: name of the data set's configuration, if it has several.
        splits: splits to fetch; each becomes a Parquet file of its name. None fetches all.
    """

    hub: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    config: str | None = None
    splits: list[str] | None = None


class GeneratedParams(Params):
    """``generated.S``: chats that this project generates (``tasks/ingest/demo``).

    Attributes:
        seed: seed of the chats.
        train_rows, test_rows: number of chats in each file.
    """

    seed: int = 0
    train_rows: int = Field(ge=1)
    test_rows: int = Field(ge=1)
