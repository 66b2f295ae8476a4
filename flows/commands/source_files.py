"""The files of a source, for ``data add``: their content, and whether new files fit the old ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flows.sources.stated import stated_ingest, used_columns
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import sha256
from tasks.core.params import parse
from tasks.ingest.delimited import DELIMITERS
from tasks.ingest.formats import name_of
from tasks.ingest.header import Note
from tasks.ingest.params import IngestParams
from tasks.ingest.readers import ignore
from tasks.ingest.run import OWN_COLUMNS, checked_rows, rows_of
from tasks.text.rows import Row

Look = Callable[[str, int, Row], None]
"""Takes name of the file, line and row."""

SAMPLED = 200
"""Rows of each file from which its language is recognised."""


@dataclass
class Contents:
    """What one file holds.

    Attributes:
        columns: column → number of rows that have it.
        ids: row_id → number of rows that have it.
        texts: column → its texts in the first ``SAMPLED`` rows.
    """

    rows: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    ids: Counter[bytes] = field(default_factory=Counter)
    texts: dict[str, list[str]] = field(default_factory=dict)

    def count(self, path: Path, ingest: IngestParams, note: Note = ignore, look: Look | None = None) -> None:
        """Read all rows of ``path`` as ``ingest`` will, without their ids; ``look`` gets each."""
        file = name_of(path)
        for line, row in checked_rows(path, ingest, note):
            self._add(row)
            if look is not None:
                look(file, line, row)

    def count_ids(self, path: Path, ingest: IngestParams, note: Note = ignore, look: Look | None = None) -> None:
        """As ``count``, with the ids, which take longer."""
        file = name_of(path)
        for whole in rows_of(path, ingest, note):
            row = {column: value for column, value in whole.items() if column not in OWN_COLUMNS}
            self._add(row)
            self.ids[bytes.fromhex(whole["row_id"])] += 1
            if look is not None:
                look(file, whole["source_line"], row)

    def _add(self, row: Row) -> None:
        self.rows += 1
        self.columns.update(row.keys())
        if self.rows <= SAMPLED:
            _sample(row, self.texts)


@dataclass
class Overlap:
    """New files beside the old ones that stay.

    Attributes:
        known: rows of ``new`` that equal a row of ``old``.
        notes: a sentence about each thing in ``new`` that is read in another way than it is written.
    """

    old: dict[Path, Contents]
    new: dict[Path, Contents]
    known: int = 0
    notes: list[str] = field(default_factory=list)

    @staticmethod
    def rows(files: Mapping[Path, Contents]) -> int:
        return sum(contents.rows for contents in files.values())

    def columns(self) -> tuple[list[str], list[str]]:
        """Columns that every row has, and those that only some rows have."""
        files = [*self.old.values(), *self.new.values()]
        total = sum((contents.columns for contents in files), Counter[str]())
        rows = sum(contents.rows for contents in files)
        every = [column for column, count in total.items() if count == rows]
        return every, [column for column in total if column not in every]

    def texts(self) -> dict[str, list[str]]:
        """Column → its texts in the first rows of each file."""
        texts: dict[str, list[str]] = {}
        for contents in [*self.old.values(), *self.new.values()]:
            for column, some in contents.texts.items():
                texts.setdefault(column, []).extend(some)
        return texts


def ingest_params(root: Path, name: str, delimiter: str | None, sheet: str | None) -> IngestParams:
    """How ``ingest`` reads or will read the source: ``sources.name.ingest``, or the defaults with the options.

    Raises:
        TunesmithError: ``delimiter`` is unknown, or an option contradicts ``params/sources.yaml``.
    """
    options = {"delimiter": _delimiter(delimiter) if delimiter else None, "sheet": sheet}
    options = {key: value for key, value in options.items() if value}
    requested = parse(IngestParams, options, "data add")
    stated = stated_ingest(root, name)
    if stated is None:
        return requested
    for key, value in options.items():
        if getattr(stated, key) != value:
            raise TunesmithError(
                f"params/sources.yaml: sources.{name}.ingest.{key}: ingest reads the source with "
                f"{getattr(stated, key)!r}, so `--{key}` cannot be {value!r}; change the {key} in that file, and leave "
                f"`--{key}` out"
            )
    return stated


def _delimiter(text: str) -> str:
    """The character that ``--delimiter`` names: itself, its name, or ``\\t`` for a tab."""
    characters = {name: character for character, name in DELIMITERS.items()} | {"\\t": "\t"}
    delimiter = characters.get(text.lower(), text)
    if delimiter not in (*DELIMITERS, "auto"):
        raise TunesmithError(
            f"data add: `--delimiter` must be {', '.join(DELIMITERS.values())}, or the character itself in quotes; "
            f"it is {text!r}"
        )
    return delimiter


def refuse_same_stems(files: Sequence[Path]) -> None:
    stems = [name_of(path) for path in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise TunesmithError(
            f"data add: files of a source must differ in their names; {sorted(twice)[0]!r} occurs twice"
        )


def refuse_taken(old: Sequence[Path], new: Sequence[Path]) -> None:
    """Refuse a new file with the name of an old one; the error says whether their content is equal."""
    taken = {name_of(path): path for path in old}
    lines = []
    for path in new:
        if name_of(path) not in taken or not path.exists():
            continue
        before = taken[name_of(path)]
        if before.suffix == path.suffix and sha256(before) == sha256(path):
            lines.append(f"{path}: {before.parent.name} has this file already, with the same content; leave it out")
        else:
            lines.append(
                f"{path}: files of a source must differ in their names; {before.parent.name} has another "
                f"{before.name}; rename yours, or replace all files of the source with `--replace --yes`"
            )
    if lines:
        raise TunesmithError("\n".join(lines))


def compare(
    old: Sequence[Path], new: Sequence[Path], ingest: IngestParams, ids: bool = True, look: Look | None = None
) -> Overlap:
    """Read all rows as ``ingest`` will, the old ones first.

    Args:
        ids: compute the ids of rows, for which equal ones are counted.
        look: gets each new row.

    Raises:
        TunesmithError: a file is missing or broken (with its line).
    """
    overlap = Overlap({path: Contents() for path in old}, {path: Contents() for path in new})
    for path, contents in overlap.old.items():
        contents.count_ids(path, ingest)
    for path, contents in overlap.new.items():
        count = contents.count_ids if ids else contents.count
        count(path, ingest, overlap.notes.append, look)
    before = {row_id for contents in overlap.old.values() for row_id in contents.ids}
    overlap.known = sum(
        n for contents in overlap.new.values() for row_id, n in contents.ids.items() if row_id in before
    )
    return overlap


def _sample(row: Row, texts: dict[str, list[str]]) -> None:
    for column, value in row.items():
        values = value if isinstance(value, list) else [value]
        contents = [turn.get("content") or turn.get("value") if isinstance(turn, dict) else turn for turn in values]
        texts.setdefault(column, []).extend(text for text in contents if isinstance(text, str))


def fit(root: Path, name: str, overlap: Overlap) -> list[str]:
    """Compare the columns of new files with those of the old ones. Return harmless differences as notes.

    Raises:
        TunesmithError: new rows lack a column that all old rows have and that the source's parameters use (any such
            column, if ``params/sources.yaml`` does not have the source yet).
    """
    rows = overlap.rows(overlap.old)
    total = sum((contents.columns for contents in overlap.old.values()), Counter[str]())
    every = [column for column, count in total.items() if count == rows]
    used = used_columns(root, name)
    errors, notes = [], []
    for path, contents in overlap.new.items():
        lacking = {c: contents.rows - contents.columns[c] for c in every if contents.columns[c] < contents.rows}
        fresh = [column for column in contents.columns if column not in total]
        needed = {column: n for column, n in lacking.items() if used is None or column in used}
        if needed:
            errors.append(_lacks(path, name, needed, contents.rows, fresh))
        notes += [f"{path.name} lacks the column {column}, which nothing uses" for column in lacking]
        notes += [f"{path.name} has a new column {column}; it is empty in the old rows" for column in fresh]
    if errors:
        raise TunesmithError("\n".join(errors))
    return notes


def _lacks(path: Path, name: str, needed: Mapping[str, int], rows: int, fresh: Sequence[str]) -> str:
    """The error of a file: ``needed`` is column → rows that lack it, ``fresh`` are columns that the source lacks."""
    absent = [column for column, n in needed.items() if n == rows]
    parts = [f"lacks the column{'' if len(absent) == 1 else 's'} {', '.join(absent)}"] if absent else []
    parts += [
        f"has {counted(n, 'row')} (of {rows:,}) without the column {column}" for column, n in needed.items() if n < rows
    ]
    if len(fresh) == 1:
        remedy = f"its other column is {fresh[0]}; rename it in the file"
    elif fresh:
        remedy = f"its other columns are {', '.join(fresh)}; rename them in the file"
    else:
        remedy = f"add {'it' if len(needed) == 1 else 'them'} to the file"
    return f"{path} {' and '.join(parts)}, which every row of data/sources/{name} has; {remedy}"


def going(old: Sequence[Path], overlap: Overlap, ingest: IngestParams) -> str:
    """What ``--replace`` removes, in a sentence or two."""
    new = {row_id for contents in overlap.new.values() for row_id in contents.ids}
    listed, rows, kept, unreadable = [], 0, 0, False
    for path in old:
        contents = Contents()
        try:
            contents.count_ids(path, ingest)
            listed.append(f"{path.name} ({counted(contents.rows, 'row')})")
        except TunesmithError:
            listed.append(f"{path.name} (which cannot be read)")
            unreadable = True
        rows += contents.rows
        kept += sum(n for row_id, n in contents.ids.items() if row_id in new)
    lost = rows - kept
    if lost and lost == rows:
        effect = " None of these rows is in the new files; all would be lost."
    elif lost:
        verb = "is" if lost == 1 else "are"
        effect = f" {lost:,} of these {rows:,} rows {verb} in none of the new files and would be lost."
    else:
        effect = "" if unreadable else " The new files hold all of these rows."
    size = f"{counted(len(old), 'file')} with {counted(rows, 'row')}"
    return f"`--replace` removes {size}: {', '.join(listed)}.{effect}"
