"""Find a task's files in a data folder, and read their rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.benchmark.harness.suites import TaskDefinition
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.ingest.readers import read
from tasks.text.rows import Row

ENDINGS = (".jsonl", ".ndjson", ".csv", ".parquet", ".json")
_OTHER_NAMES = {"validation": ("validation", "val", "dev", "valid")}


def candidates(task: TaskDefinition, split: str) -> list[str]:
    """Paths, relative to the data folder and without ending, at which a split of ``task`` may be.

    A name of ``task.folders`` may also be a file, which then holds the evaluated split.
    """
    first, _, rest = split.partition("_")
    names = [f"{name}_{rest}" if rest else name for name in _OTHER_NAMES.get(first, (first,))]
    stems = [f"{folder}/{name}" for folder in task.folders for name in names]
    return stems + (list(task.folders) if split == task.split else [])


def find_file(task: TaskDefinition, split: str, data: Path | None, given: str | dict[str, str] | None) -> Path | None:
    """The file of a split: the one that the parameters name, else the first candidate that exists.

    Raises:
        TunesmithError: the parameters name a file that does not exist.
    """
    if task.file is not None:
        return task.file
    stated = given.get(split) if isinstance(given, dict) else (given if split == task.split else None)
    if stated is not None:
        path = (data or Path()) / stated
        if not path.is_file():
            raise TunesmithError(
                f"params/evaluation.yaml: benchmark.settings.files.{task.name}: {path}: no such file; correct the path "
                "(relative to the data folder)"
            )
        return path
    if data is None:
        return None
    paths = (data / f"{stem}{ending}" for stem in candidates(task, split) for ending in ENDINGS)
    return next((path for path in paths if path.is_file() and (not task.where or _matching(path, task))), None)


def looked_for(task: TaskDefinition, split: str, data: Path | None) -> str:
    """Which file is missing, and where it would have to be."""
    if data is None:
        return "no data folder was given (--data FOLDER)"
    if not data.is_dir():
        return f"there is no folder {files.shown(data)}"
    first, *others = [f"{stem}.jsonl" for stem in candidates(task, split)]
    more = f" (or {', '.join(others[:2])}, …)" if others else ""
    return f"no {first}{more} in {files.shown(data)}"


def rows_of(path: Path, task: TaskDefinition) -> list[Row]:
    """The rows of a file that belong to ``task``; a new list of the same rows each time.

    Raises:
        TunesmithError: the file cannot be read, or holds no row of the task.
    """
    kept = _matching(path, task)
    if not kept:
        wanted = ", ".join(f"{column} = {value!r}" for column, value in task.where.items())
        raise TunesmithError(f"{path}: must hold rows with {wanted}; it has none; add them or remove the file")
    return kept


def _matching(path: Path, task: TaskDefinition) -> list[Row]:
    rows = _read(path, path.stat().st_mtime_ns)
    return [row for row in rows if all(column not in row or row[column] == v for column, v in task.where.items())]


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> list[Row]:
    """The rows of a file; cached, since one file may hold the rows of many tasks."""
    return list(_json_rows(path)) if path.suffix == ".json" else [row for _, row in read(path)]


def _json_rows(path: Path) -> Iterator[Row]:
    data = read_task_json(path)
    rows = data.get("examples") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TunesmithError(f"{path}: must be a list of objects, or an object with the list `examples`; it is neither")
    yield from rows


def read_task_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        TunesmithError: it is not JSON; the error names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise TunesmithError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise TunesmithError(f"{path}:{error.lineno}: not valid JSON: {error.msg}; correct that line") from None


def task_json_files(data: Path | None, given: dict[str, Any]) -> list[tuple[str, Path]]:
    """(name, file) of BIG-bench tasks: each ``task.json`` in ``data`` (named by folder), and the JSON files given."""
    by_name = {}
    if data is not None:
        by_name = {path.parent.name: path for path in sorted(data.rglob("task.json"))}
    named = {name: file for name, file in given.items() if isinstance(file, str) and file.endswith(".json")}
    by_name |= {name: (data or Path()) / file for name, file in named.items()}
    return sorted(by_name.items())
