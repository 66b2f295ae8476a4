"""``tunesmith data add``: files of a user become a source that DVC versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.suggest import blocks
from flows.text import counted
from tasks import files as file_tools
from tasks.errors import TunesmithError
from tasks.ingest.params import IngestParams
from tasks.ingest.readers import DELIMITERS, Row, delimiter_of, format_of
from tasks.ingest.run import OWN_COLUMNS, rows_of, to_table
from tasks.params import parse
from tasks.paths import Paths
from tasks.resolve.check import mapping


def add(root: Path, files: list[Path], name: str, replace: bool, delimiter: str | None = None) -> str:
    """Read every row of ``files``, copy them to ``data/sources/name``, ``dvc add`` it, and say what comes next.

    Raises:
        TunesmithError: a file is missing, empty or broken (with its line), two have one name, the name is no
            good, or taken and ``replace`` is off, or a column has values of several types. Nothing is added then.
    """
    _refuse_name(root, name, replace)
    stems = [path.stem for path in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise TunesmithError(
            f"data add: files of a source must differ in their names; {sorted(twice)[0]!r} comes twice"
        )
    ingest = parse(IngestParams, {"delimiter": delimiter} if delimiter else {}, "data add")
    found = _check(files, ingest)
    target = Paths(root).source(name)
    kept = target.with_name(f".{name}.before")  # until dvc has taken the new files
    file_tools.remove(kept)
    if target.exists():
        target.rename(kept)
    with file_tools.replacing(target) as temporary:
        temporary.mkdir()
        for path in files:
            shutil.copyfile(path, temporary / path.name)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "--wait-for-lock", "add", str(target.relative_to(root))],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        file_tools.remove(target)
        if kept.exists():
            kept.rename(target)
        problem = " ".join(done.stderr.split()).removeprefix("ERROR: ")
        raise TunesmithError(f"dvc add {target.relative_to(root)}: {problem}")
    file_tools.remove(kept)
    return _what_next(root, name, found, ingest)


def _refuse_name(root: Path, name: str, replace: bool) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise TunesmithError(f"data add: a name must be lower-case letters, digits, '-' and '_'; it is {name!r}")
    made = mapping(Paths(root).params / "sources.yaml", "generated") | mapping(
        Paths(root).params / "sources.yaml", "hub"
    )
    if name in made:
        raise TunesmithError(f"data add: {name!r} is made by a stage (params/sources.yaml); choose another name")
    if Paths(root).source(name).exists() and not replace:
        raise TunesmithError(f"data/sources/{name}: there is such a source; choose another name, or give --replace")


@dataclass
class _Found:
    """What one file holds: its rows, and how many of them have each column."""

    rows: int = 0
    columns: Counter[str] = field(default_factory=Counter)


def _check(files: list[Path], ingest: IngestParams) -> dict[Path, _Found]:
    """Rows and columns of each file; reading all as ingest will finds every broken line before anything is stored."""
    found = {path: _Found() for path in files}

    def rows() -> Iterator[Row]:
        for path in files:
            for row in rows_of(path, ingest):
                found[path].rows += 1
                found[path].columns.update(name for name in row if name not in OWN_COLUMNS)
                yield row

    to_table(rows())
    return found


def _columns(path: Path, one: _Found, ingest: IngestParams) -> str:
    """The columns of a file, with the delimiter between them where that is no comma."""
    delimiter = delimiter_of(path) if ingest.delimiter == "auto" else ingest.delimiter
    apart = f" (delimiter: {DELIMITERS[delimiter]})" if format_of(path) == "csv" and delimiter != "," else ""
    return f"columns {', '.join(one.columns)}{apart}"


def _what_next(root: Path, name: str, found: dict[Path, _Found], ingest: IngestParams) -> str:
    total = sum((one.columns for one in found.values()), Counter[str]())
    rows = sum(one.rows for one in found.values())
    every = [column for column, count in total.items() if count == rows]
    some = [column for column in total if column not in every]
    stems = [path.stem for path in found]
    return "\n".join(
        [
            *(f"{p.name}: {counted(one.rows, 'row')}, {_columns(p, one, ingest)}" for p, one in found.items()),
            f"added as data/sources/{name}; commit data/sources/{name}.dvc. Now name it in params/:",
            "",
            blocks(root, name, stems, every, some, None if ingest.delimiter == "auto" else ingest.delimiter),
            "",
            f"Then look at it: `dvc repro ingest@{name}` and `tunesmith templates validate {name}`, `tunesmith plan`",
        ]
    )
