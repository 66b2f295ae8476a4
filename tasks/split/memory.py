"""What the hash decided before: new rows must not move old ones, so the stage keeps it beside the parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.files import digest
from tasks.split.params import PARTS, SplitParams

_SCHEMA = pa.schema([("kind", pa.string()), ("key", pa.string()), ("part", pa.string())])
_DECIDED_BY = b"tunesmith.split"


@dataclass(frozen=True)
class Memory:
    """Assignments of the past.

    Attributes:
        groups: group → number of its part in ``PARTS``.
        texts: ``text_key`` → number of its part.
    """

    groups: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, params: SplitParams) -> Memory:
        """What ``path`` (columns ``kind``: ``group`` or ``text``, ``key``, ``part``) holds.

        Empty where there is no such file, or where other parameters decided then.
        """
        if not path.exists():
            return cls()
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(_DECIDED_BY) != _decided_by(params):
            return cls()
        memory = cls()
        kinds = {"group": memory.groups, "text": memory.texts}
        for kind, key, part in zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True):
            kinds[kind][key] = PARTS.index(part)
        return memory

    def write(self, path: Path, params: SplitParams) -> None:
        kinds = {"group": self.groups, "text": self.texts}
        rows = [(kind, key, PARTS[part]) for kind, known in kinds.items() for key, part in sorted(known.items())]
        columns = [[row[i] for row in rows] for i in range(len(_SCHEMA))]
        schema = _SCHEMA.with_metadata({_DECIDED_BY: _decided_by(params)})
        pq.write_table(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema), path)

    def __or__(self, newer: Memory) -> Memory:
        return Memory(self.groups | newer.groups, self.texts | newer.texts)


def text_key(normalised: str) -> str:
    """How a text is remembered: shorter than it, and not readable where its row was deleted."""
    return digest(normalised)[:24]


def _decided_by(params: SplitParams) -> bytes:
    """Digest of the parameters that decide; a limit only hides rows."""
    return digest(params.model_dump(exclude={"limit", "min_rows"})).encode()
