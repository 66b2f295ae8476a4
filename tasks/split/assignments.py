"""The assignments of a split, stored beside its parts, so that new rows do not move old ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import canonical_json, digest
from tasks.split.deciding import Change, changes, values
from tasks.split.params import ALL_PARTS, SplitParams

_SCHEMA = pa.schema([("kind", pa.string()), ("key", pa.string()), ("part", pa.string())])
_DECIDED_BY = b"tunesmith.split"
_VALUES = b"tunesmith.split.values"
_TEST_SET = b"tunesmith.split.test_set"

State = Literal["none", "read", "other parameters"]


@dataclass(frozen=True)
class Assignments:
    """Parts of groups, texts and rows.

    Attributes:
        groups: group → number of its part in ``ALL_PARTS``.
        texts: ``text_key`` → number of its part.
        rows: ``kept_key`` → number of the part that keeps the row. Duplicates and rows over a limit are not in it.
        test_set: number of the test set (``SplitParams.test_set``).
        state: ``read`` from a file; ``none`` without a file; ``other parameters`` if the file's assignments no longer
            hold, since other parameters of the split or of the rendering decided them.
        changed: the parameters that differ; None if an earlier version did not record them.
    """

    groups: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    test_set: int = 1
    state: State = field(default="none", compare=False)
    changed: list[Change] | None = field(default=None, compare=False)

    @classmethod
    def read(cls, path: Path, params: SplitParams, grouped_by: bytes | None) -> Assignments:
        """Read ``path`` (columns: ``kind``, which is ``group``, ``text`` or ``row``; ``key``; ``part``).

        Args:
            grouped_by: the settings that made groups and texts (``tasks.text.rows.GROUPED_BY``); None if unknown.

        Raises:
            TunesmithError: ``write`` did not write this file.
        """
        if not path.exists():
            return cls()
        table = _read_table(path)
        state, changed = _state(table.schema, params, grouped_by)
        if state == "other parameters":
            return cls(state=state, changed=changed)
        assignments = cls(state="read", test_set=int(table.schema.metadata.get(_TEST_SET, 1)))
        kinds = assignments._kinds()
        for kind, key, part in zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True):
            if kind not in kinds or part not in ALL_PARTS:
                raise _foreign(path, f"kind {kind!r} with part {part!r}")
            kinds[kind][key] = ALL_PARTS.index(part)
        return assignments

    @classmethod
    def state_of(cls, path: Path, params: SplitParams, grouped_by: bytes | None) -> tuple[State, list[Change] | None]:
        """The ``state`` and ``changed`` that ``read`` would return; the assignments themselves are not read."""
        return _state(_read_schema(path), params, grouped_by) if path.exists() else ("none", None)

    def _kinds(self) -> dict[str, dict[str, int]]:
        return {"group": self.groups, "text": self.texts, "row": self.rows}

    def write(self, path: Path, params: SplitParams, grouped_by: bytes | None) -> None:
        """Write the assignments with the values that decided them, for ``read``."""
        kinds = self._kinds()
        rows = [(kind, key, ALL_PARTS[part]) for kind, parts in kinds.items() for key, part in sorted(parts.items())]
        columns = [[row[i] for row in rows] for i in range(len(_SCHEMA))]
        readable = canonical_json(values(params, grouped_by)).encode()
        metadata = {_DECIDED_BY: _decided_by(params, grouped_by), _VALUES: readable}
        if self.test_set > 1:
            metadata[_TEST_SET] = str(self.test_set).encode()
        schema = _SCHEMA.with_metadata(metadata)
        pq.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema), path)

    def __or__(self, newer: Assignments) -> Assignments:
        """``self`` with the parts that ``newer`` gives."""
        merged = (self.groups | newer.groups, self.texts | newer.texts, self.rows | newer.rows)
        return Assignments(*merged, test_set=self.test_set)


def text_key(normalised: str) -> str:
    """The key of a text: a digest, which is short and does not reveal the text of a deleted row."""
    return digest(normalised)[:24]


def kept_key(row_id: str, template_id: str) -> str:
    """The key of one prompt variant of a row; each variant is kept or dropped by itself."""
    return f"{row_id} {template_id}"


def row_of(key: str) -> str:
    """The ``row_id`` in a ``kept_key``."""
    return key.partition(" ")[0]


def _state(schema: pa.Schema, params: SplitParams, grouped_by: bytes | None) -> tuple[State, list[Change] | None]:
    if schema.metadata[_DECIDED_BY] == _decided_by(params, grouped_by):
        return "read", None
    if _VALUES not in schema.metadata:
        return "other parameters", None
    before, now = json.loads(schema.metadata[_VALUES]), values(params, grouped_by)
    if changed := changes(before, now):
        return "other parameters", changed
    # Only files were added, or else something changed that `values` does not record.
    return ("read", None) if before != now else ("other parameters", None)


def _read_table(path: Path) -> pa.Table:
    with _own_file(path):
        table = pq.read_table(path)
        _refuse_other_columns(path, table.schema)
        return table


def _read_schema(path: Path) -> pa.Schema:
    with _own_file(path):
        schema = pq.read_schema(path)
        _refuse_other_columns(path, schema)
        return schema


@contextmanager
def _own_file(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # an error of the disk or of permissions, not of the file
            raise
        raise _foreign(path, str(error).splitlines()[0]) from None


def _refuse_other_columns(path: Path, schema: pa.Schema) -> None:
    if schema.names != _SCHEMA.names or _DECIDED_BY not in (schema.metadata or {}):
        raise _foreign(path, f"columns {', '.join(schema.names)}")


def _foreign(path: Path, why: str) -> TunesmithError:
    return TunesmithError(
        f"{path}: must be a file that `split` wrote; it is not ({why}); restore it with "
        f"`dvc checkout data/splits/{path.parent.name}`, or delete it and "
        f"run `tunesmith run --new-split {path.parent.name}` (rows may then move to other parts)"
    )


def _decided_by(params: SplitParams, grouped_by: bytes | None) -> bytes:
    return digest([params.deciding(), grouped_by and grouped_by.decode()]).encode()
