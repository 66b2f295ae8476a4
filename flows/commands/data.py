"""``tunesmith data add``: files of a user become a source that DVC versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.commands import source_files
from flows.commands.detect import Detected
from flows.commands.inspection import Inspection
from flows.commands.next_steps import suggested_blocks, what_next
from flows.commands.source_files import Contents, Overlap
from flows.commands.suggest import Block
from flows.commands.write_blocks import Texts, new_texts, write_texts
from flows.sources.fetched import fetched_names
from flows.sources.parts import refuse_unnamed
from flows.sources.store import How, recover, store
from flows.workspace import workspace_lock
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.ingest.delimited import DELIMITERS, delimiter_of
from tasks.ingest.formats import format_of, name_of
from tasks.ingest.params import IngestParams
from tasks.ingest.run import data_files
from tasks.resolve.check import mapping


def add(
    root: Path,
    files: list[Path],
    name: str,
    how: How = "new",
    delimiter: str | None = None,
    confirm: Callable[[str], bool] = lambda question: False,
    sheet: str | None = None,
    form: str | None = None,
    write: bool = False,
) -> str:
    """Read every row of ``files``, copy them to ``data/sources/name`` and ``dvc add`` it.

    Returns: what was read, the proof of its format (``flows.commands.inspection``), and what comes next.

    Args:
        how: ``new`` needs a free name, ``append`` keeps the files of the source, ``replace`` removes them.
        delimiter: of CSV files; None for that of ``sources.name.ingest``, which is recognised by default.
        sheet: of Excel workbooks; None for that of ``sources.name.ingest``, by default the only one.
        form: format or template set of the rows; None detects it.
        write: write the blocks into ``params/``.
        confirm: called with a text about what ``replace`` removes; nothing changes unless it returns True.

    Raises:
        TunesmithError: a file is missing, empty or broken (with its line), two have one name, ``name`` is invalid, or
            the files do not fit the source, its parameters or ``form``; or ``params/`` cannot be written. Nothing is
            changed then.
    """
    _refuse_name(root, name)
    source_files.refuse_same_stems(files)
    with workspace_lock(root, f"tunesmith data add --name {name}"):
        target = Paths(root).source(name)
        recover(target)
        _refuse_how(target, how)
        ingest = source_files.ingest_params(root, name, delimiter, sheet)
        old = data_files(target) if target.exists() else []
        if how == "append":
            source_files.refuse_taken(old, files)
        kept = old if how == "append" else []
        refuse_unnamed(root, name, [name_of(path) for path in [*kept, *files]], how == "replace", "add the files again")
        if write:
            _refuse_named(root, name)
        inspection = Inspection(Paths(root), name, form)
        overlap = source_files.compare(kept, files, ingest, bool(old), inspection.add)
        detected = inspection.detected(*overlap.columns())
        notes = overlap.notes + (source_files.fit(root, name, overlap) if how == "append" else [])
        if how == "replace" and old:
            _refuse_unconfirmed(name, source_files.going(old, overlap, ingest), confirm)
        suggested = suggested_blocks(root, name, overlap, ingest, detected)
        if write:
            _new_texts(root, name, detected, suggested)  # refused before anything is stored
        proof = inspection.proof(detected, [column for columns in overlap.columns() for column in columns])
        store(root, target, files, how)
        write_texts(_new_texts(root, name, detected, suggested) if write else {})
        added = _added(name, overlap, ingest, how, notes)
        head = "Written into params/:" if write else "Paste these blocks into params/ (or give `--write` next time):"
        return "\n".join([*added, "", *proof, "", *what_next(root, name, suggested, head)])


def _refuse_unconfirmed(name: str, going: str, confirm: Callable[[str], bool]) -> None:
    if not confirm(going):
        raise TunesmithError(
            f"data/sources/{name}: {going} Nothing was changed; add `--yes` to replace them, or give `--append` "
            "instead to keep them and add the new ones"
        )


def _refuse_named(root: Path, name: str) -> None:
    if name in mapping(Paths(root).params / "sources.yaml", "sources"):
        raise TunesmithError(
            f"params/sources.yaml: sources.{name}: this source exists, and `--write` changes no entry; leave `--write` "
            "out, or remove the entry"
        )


def _new_texts(root: Path, name: str, detected: Detected, suggested: Sequence[Block]) -> Texts:
    if detected.matched is None:
        problem = detected.why
    elif detected.matched.lacking:
        problem = f"the set {detected.matched.set!r} also needs {', '.join(detected.matched.lacking)}"
    else:
        return new_texts(root, name, suggested)
    raise TunesmithError(f"data add: `--write` needs a clear format; {problem}")


def _refuse_name(root: Path, name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise TunesmithError(f"data add: a name must be lower-case letters, digits, '-' and '_'; it is {name!r}")
    if name in fetched_names(root):
        raise TunesmithError(
            f"data add: {name!r} is fetched (params/sources.yaml), and the next `tunesmith data refresh` would replace "
            "its files; choose another name"
        )
    made = mapping(Paths(root).params / "sources.yaml", "generated") | mapping(
        Paths(root).params / "sources.yaml", "hub"
    )
    if name in made:
        raise TunesmithError(f"data add: {name!r} is made by a stage (params/sources.yaml); choose another name")


def _refuse_how(target: Path, how: How) -> None:
    if how == "new" and target.exists():
        raise TunesmithError(
            f"data/sources/{target.name}: this source exists already; add the files to it with `--append`, put them in "
            "its place with `--replace --yes`, or choose another name"
        )
    if how == "append" and not target.exists():
        raise TunesmithError(
            f"data/sources/{target.name}: no such source exists to append to; correct the name, or leave `--append` "
            "out to create it"
        )


def _added(name: str, overlap: Overlap, ingest: IngestParams, how: How, notes: list[str]) -> list[str]:
    lines = [
        f"{path.name}: {counted(contents.rows, 'row')}, {_columns(path, contents, ingest)}"
        for path, contents in overlap.new.items()
    ]
    if how == "append":
        before, after = overlap.rows(overlap.old), overlap.rows(overlap.old) + overlap.rows(overlap.new)
        lines.append(f"{name}: {before:,} → {after:,} rows, {overlap.known:,} already there")
        if overlap.known:
            lines.append("ingest keeps rows that are equal; the split keeps one of them")
    verb = {"new": "added as", "append": "added to", "replace": "replaced the files of"}[how]
    return [*lines, *(f"note: {note}" for note in notes), f"{verb} data/sources/{name}; commit data/sources/{name}.dvc"]


def _columns(path: Path, contents: Contents, ingest: IngestParams) -> str:
    """The columns of a file, with its delimiter unless that is a comma."""
    listed = f"columns {', '.join(contents.columns)}"
    if format_of(path, ingest.format) != "csv":
        return listed
    delimiter = delimiter_of(path) if ingest.delimiter == "auto" else ingest.delimiter
    return listed if delimiter == "," else f"{listed} (delimiter: {DELIMITERS[delimiter]})"
