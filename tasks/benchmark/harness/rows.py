"""Check that the rows of a task have every column that lm-eval's prompts need, and convert labels to numbers."""

from __future__ import annotations

import math
from typing import Any

from tasks.benchmark.harness.shapes import BY_NAME
from tasks.benchmark.harness.suites import TaskDefinition
from tasks.core.errors import TunesmithError
from tasks.text.rows import Row


def checked(rows: list[Row], task: TaskDefinition, where: str) -> list[Row]:
    """The columns that ``task`` needs, for every row, in the hub's format.

    Raises:
        TunesmithError: a column is missing or empty, or a label is unknown; with the row's number.
    """
    shaped = [
        (number, row) for number, given in enumerate(rows, start=1) for row in _shaped(given, task, where, number)
    ]
    return [_checked(row, task, f"{where}: row {number}") for number, row in shaped]


def _shaped(row: Row, task: TaskDefinition, where: str, number: int) -> list[Row]:
    try:
        return BY_NAME[task.shape](row) if task.shape else [row]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TunesmithError(
            f"{where}: row {number}: must have the published format; {type(error).__name__}: {error}; "
            f"see `columns` in tasks/benchmark/harness/suites/{task.suite}.yaml"
        ) from None


def _checked(row: Row, task: TaskDefinition, where: str) -> Row:
    missing = [column for column in task.columns if row.get(column) is None]
    if missing:
        raise TunesmithError(
            f"{where}: {task.name} needs the column {missing[0]!r}; the row has {', '.join(map(str, row))}; "
            f"add it (all that it needs: {', '.join(task.columns)})"
        )
    kept = {column: row[column] for column in task.columns}
    kept |= {column: _integer(kept[column], column, where) for column in task.integers}
    if task.label is not None:
        kept[task.label] = _label(kept[task.label], task, where)
    return kept


def _integer(value: Any, column: str, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise TunesmithError(f"{where}: {column} must be a whole number; it is {value!r}; correct it") from None


def _label(value: Any, task: TaskDefinition, where: str) -> int | float:
    """The number of a label, which may be a number, a number as text, a name, or true and false."""
    if task.range is not None:
        return _measured(value, task.range, f"{where}: {task.label}")
    assert task.labels is not None, task.name
    numbers = set(task.labels.values())
    text = str(value).strip().lower()
    if text in task.labels:
        return task.labels[text]
    if isinstance(value, bool):
        text = str(int(value))
    if text.removesuffix(".0").isdecimal() and int(text.removesuffix(".0")) in numbers:
        return int(text.removesuffix(".0"))
    names = ", ".join(f"{number} ({name})" for name, number in task.labels.items())
    hidden = "; -1 is in test rows whose label is secret: use the validation rows" if text == "-1" else ""
    raise TunesmithError(f"{where}: {task.label} must be one of {names}; it is {value!r}{hidden}; correct it")


def _measured(value: Any, bounds: tuple[float, float], where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not bounds[0] <= number <= bounds[1]:
        raise TunesmithError(
            f"{where} must be a number from {bounds[0]:g} to {bounds[1]:g}; it is {value!r}; correct it"
        )
    return number
