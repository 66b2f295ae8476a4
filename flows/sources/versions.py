"""Two versions of a source's rows: what each holds, and which rows are new, changed and gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError
from tasks.core.files import canonical_json
from tasks.ingest.params import IngestParams
from tasks.ingest.run import OWN_COLUMNS, rows_of
from tasks.text.rows import Row

_TYPES = {str: "text", bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}


@dataclass
class Version:
    """What the files of one version hold.

    Attributes:
        rows: name of a file → row_id → number of its rows that have it.
        columns: column → number of rows that have it.
        types: column → types of its values, without null.
        keys: value of the key column, as JSON → row_id; empty without a key column.
        problem: what is wrong with the key column; empty if nothing is.
    """

    rows: dict[str, Counter[bytes]] = field(default_factory=dict)
    columns: Counter[str] = field(default_factory=Counter)
    types: dict[str, set[str]] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""

    @property
    def ids(self) -> Counter[bytes]:
        return sum(self.rows.values(), Counter[bytes]())

    @property
    def count(self) -> int:
        return sum(counter.total() for counter in self.rows.values())

    def add(self, row: Row, key: str | None) -> None:
        row_id = bytes.fromhex(row["row_id"])
        self.rows.setdefault(row["source_file"], Counter())[row_id] += 1
        for column, value in row.items():
            if column not in OWN_COLUMNS:
                self.columns[column] += 1
                if value is not None:
                    self.types.setdefault(column, set()).add(_TYPES.get(type(value), type(value).__name__))
        if key is not None and not self.problem:
            self._add_key(row, key, row_id)

    def _add_key(self, row: Row, key: str, row_id: bytes) -> None:
        location = f"{row['source_file']}:{row['source_line']}"
        if row.get(key) is None:
            self.problem = f"{location}: the key column {key!r} has no value"
            return
        value = _key_text(row[key])
        if value in self.keys:
            self.problem = f"{location}: the key column {key!r} must differ in every row; {value} occurs twice"
            return
        self.keys[value] = row_id


def _key_text(value: Any) -> str:
    return canonical_json(value if isinstance(value, str | int | float | bool | list | dict) else str(value))


def read_version(files: Sequence[Path], ingest: IngestParams, key: str | None) -> Version:
    """Read all rows of ``files`` as ``ingest`` does, without its ``limit``.

    Raises:
        TunesmithError: a file is missing, empty or broken, or a row lacks a required column.
    """
    version, whole = Version(), ingest.model_copy(update={"limit": None})
    for path in files:
        for row in rows_of(path, whole):
            version.add(row, key)
    return version


@dataclass(frozen=True)
class Changes:
    """Rows that differ between two versions: values of the key column, or row_ids where there is no key.

    Attributes:
        moved: the same rows are in other files.
    """

    new: list[str]
    changed: list[str]
    vanished: list[str]
    moved: bool

    @property
    def none(self) -> bool:
        return not (self.new or self.changed or self.vanished or self.moved)


def changes_between(old: Version, new: Version) -> Changes:
    """The changes from ``old`` to ``new``, by their keys if both versions have valid ones."""
    moved = old.ids == new.ids and old.rows != new.rows
    if not (old.keys and new.keys) or old.problem or new.problem:
        return Changes(_hex(new.ids - old.ids), [], _hex(old.ids - new.ids), moved)
    return Changes(
        [key for key in new.keys if key not in old.keys],
        [key for key, row_id in new.keys.items() if old.keys.get(key, row_id) != row_id],
        [key for key in old.keys if key not in new.keys],
        moved,
    )


def _hex(ids: Counter[bytes]) -> list[str]:
    return [row_id.hex() for row_id in ids.elements()]


def read_old(files: Sequence[Path], ingest: IngestParams, key: str | None) -> Version:
    """As ``read_version``, for rows that need not have the columns that are required now."""
    try:
        return read_version(files, ingest.model_copy(update={"required": []}), key)
    except TunesmithError as error:
        raise TunesmithError(
            f"the present version cannot be read, so nothing can be compared with it: {error}"
        ) from None
