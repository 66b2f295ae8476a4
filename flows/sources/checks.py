"""What a fetched version must fulfil before it replaces the present one."""

from __future__ import annotations

from collections.abc import Collection

from flows.sources.versions import Version
from tasks.core.counted import counted

_NUMBERS = {"integer", "number"}


def schema_problems(old: Version | None, new: Version, used: Collection[str]) -> list[str]:
    """Columns of ``used`` that the new version lacks: in all rows, or in some although all old rows have them."""
    problems = []
    for column in used:
        lacking = new.count - new.columns[column]
        if lacking == new.count:
            problems.append(
                f"the column {column}, which the source's parameters use, is missing; the new version has "
                f"{', '.join(new.columns)}; correct what is fetched, or the parameters of the source"
            )
        elif lacking and old is not None and old.columns[column] == old.count:
            problems.append(
                f"the new version has {counted(lacking, 'row')} (of {new.count:,}) without the column {column}, which "
                "every row of the present version has; correct what is fetched"
            )
    return problems


def type_problems(old: Version, new: Version, used: Collection[str] | None) -> tuple[list[str], list[str]]:
    """Columns whose type changed: those of ``used`` (None: all), which are problems, and the others, which are notes.

    An integer beside other numbers is the same type. A column that becomes null in every row has changed.
    """
    problems: list[str] = []
    notes: list[str] = []
    for column in old.columns:
        before, now = old.types.get(column, set()), new.types.get(column, set())
        if column not in new.columns or not before or not _changed(before, now):
            continue
        line = f"the type of the column {column} changed: it was {_named(before)}, now it is {_named(now)}"
        (problems if used is None or column in used else notes).append(line)
    return problems, notes


def _changed(before: set[str], now: set[str]) -> bool:
    allowed = before | _NUMBERS if before & _NUMBERS else before
    return not now or bool(now - allowed)


def _named(types: Collection[str]) -> str:
    return " or ".join(sorted(types)) or "null in every row"


def count_problems(old: Version, new: Version, min_share: float) -> list[str]:
    if new.count >= min_share * old.count:
        return []
    return [
        f"the new version has {counted(new.count, 'row')}, the present one {old.count:,}; it must have at least "
        f"{min_share:g} of them (min_share)"
    ]


def column_notes(old: Version, new: Version) -> list[str]:
    added = [column for column in new.columns if column not in old.columns]
    gone = [column for column in old.columns if column not in new.columns]
    return [f"new column {column}" for column in added] + [f"the column {column} is gone" for column in gone]
