"""Write files to a temporary name and rename them, hash their contents, and store JSON and rows (Parquet)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError

TEMPORARY = ".partial"
_ASIDE = f".old{TEMPORARY}"


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content; do nothing if it does not exist."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def temporary(target: Path) -> Path:
    """The temporary name for writing ``target``; leftovers of dead processes are removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    prefix = f".{target.name}."
    path = target.with_name(f"{prefix}{os.getpid()}{TEMPORARY}")
    for left in target.parent.glob(f"{escape(prefix)}*{TEMPORARY}"):
        writer = left.name[len(prefix) : -len(TEMPORARY)]
        if left == path or (writer.isdecimal() and not psutil.pid_exists(int(writer))):
            remove(left)
    return path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which is renamed to ``target`` on success.

    On an exception the temporary path is removed, and an existing ``target`` stays unchanged.
    """
    path = temporary(target)
    try:
        yield path
        rename(path, target)
    except BaseException:
        remove(path)
        raise


def rename(path: Path, target: Path) -> None:
    """Replace ``target`` by ``path``; if that is interrupted, ``recover`` restores the old ``target``."""
    if not (path.is_dir() or target.is_dir()):  # the operating system replaces only files in one step
        path.replace(target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}{_ASIDE}")
    try:
        if os.path.lexists(target):
            target.replace(aside)
        path.replace(target)
    finally:
        recover(target)


def recover(target: Path) -> None:
    """Restore a ``target`` that this or a dead process moved aside in ``rename``; remove it if the new one exists."""
    prefix = f".{target.name}."
    for aside in target.parent.glob(f"{escape(prefix)}*{_ASIDE}"):
        writer = aside.name[len(prefix) : -len(_ASIDE)]
        if writer.isdecimal() and (int(writer) == os.getpid() or not psutil.pid_exists(int(writer))):
            if os.path.lexists(target):
                remove(aside)
            else:
                aside.replace(target)


def sha256(path: Path) -> str:
    """Content hash of a file, or of a folder by the names and contents of its files.

    Compiled modules and temporary files do not count, as in ``.dvcignore``.
    """
    if path.is_dir():
        names = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
        lines = [f"{name.as_posix()} {sha256(path / name)}" for name in names if not any(map(_ignored, name.parts))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ignored(part: str) -> bool:
    return part == "__pycache__" or part.endswith((".pyc", TEMPORARY))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def unit_interval(*parts: Any) -> float:
    """A number in [0, 1) that depends only on ``parts``: equal on every machine and in every process."""
    return int(digest(list(parts))[:13], 16) / 16**13


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_jsonl(path: Path) -> list[Any]:
    """Read one value per line; only line feeds end a line, since JSON text may hold other line ends (U+2028)."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def refuse_missing(path: Path) -> None:
    """Refuse to go on without a file that a stage writes.

    Raises:
        TunesmithError: the file is missing, so that stage has not run.
    """
    if not path.exists():
        raise TunesmithError(f"{path}: no such file; run `tunesmith run` (or `dvc repro`) to build it")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read all rows of a Parquet file.

    Raises:
        TunesmithError: the file is missing, so the stage that writes it has not run.
    """
    refuse_missing(path)
    return pq.read_table(path).to_pylist()


def write_rows(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as Parquet; equal rows give equal bytes."""
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


BATCH_ROWS = 4096
"""Rows that streams hold in memory at once, and rows per row group that they write."""


def write_stream(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """As ``write_rows``, one batch at a time; equal rows give equal bytes."""
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(islice(iterator, BATCH_ROWS)):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def shown(path: Path) -> Path:
    """``path`` for use in results: relative to the current folder if it lies below it.

    Stages run in their workspace, and must not write a path of the machine.
    """
    folder = Path.cwd()
    return path.resolve().relative_to(folder) if path.resolve().is_relative_to(folder) else path
