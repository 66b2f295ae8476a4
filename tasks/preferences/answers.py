"""Read the judges' choices from their CSV files, and check them against the key of the export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.preferences.key import ExportKey, find_key, read_key
from tasks.preferences.pairs import Shown
from tasks.preferences.sheet import CHOICES, read_sheet, unguard

Answers = dict[str, dict[str, str]]
"""Judge → pair → choice, of answered pairs only. A judge without answers has an empty mapping."""

_SHOWN = 20
"""Most problems that an error lists. If every row is wrong, the cause is the same."""


@dataclass(frozen=True)
class Answer:
    """One row of a judge's file.

    Attributes:
        where: file and row.
        texts: prompt, left and right, if the file has these columns.
    """

    where: str
    export: str
    pair: str
    judge: str
    choice: str
    texts: tuple[str, str, str] | None


def read_answers(paths: Paths, sheets: Iterable[Path], key_file: Path | None = None) -> tuple[ExportKey, Answers]:
    """The key and the answers in ``sheets``; a judge is named by the column ``judge``, else by the file's name.

    Raises:
        TunesmithError: a file cannot be read, no key belongs to it, or rows break a rule: another export, a pair or
            choice that there is not, a pair answered twice by one judge, texts that are not those of the pair. One
            line a problem.
    """
    rows = [answer for path in sheets for answer in _of_file(path)]
    if not rows:
        raise TunesmithError("preferences import: the files must hold rows of an export; they have none but the first")
    key = read_key(key_file) if key_file else find_key(paths, rows[0].export, rows[0].where)
    problems, answers, answered_at = [], {row.judge: dict[str, str]() for row in rows}, dict[tuple[str, str], str]()
    for row in rows:
        if problem := _problem(row, key, answered_at.get((row.judge, row.pair))):
            problems.append(f"{row.where}: {problem}")
        elif row.choice:
            answered_at[row.judge, row.pair] = row.where
            answers[row.judge][row.pair] = row.choice
    if problems:
        more = [f"and {len(problems) - _SHOWN} more problems"] if len(problems) > _SHOWN else []
        raise TunesmithError("\n".join([*problems[:_SHOWN], *more]))
    if not answered_at:
        raise TunesmithError(
            f"preferences import: no row is answered; write {_choices()} into the column `choice` of each pair"
        )
    return key, answers


def _of_file(path: Path) -> list[Answer]:
    return [_answer(path, number, cells) for number, cells in read_sheet(path)]


def _answer(path: Path, number: int, cells: dict[str, str]) -> Answer:
    shown = tuple(cells[name] for name in ("prompt", "left", "right") if name in cells)
    return Answer(
        where=f"{path}: row {number}",
        export=cells["export"].strip(),
        pair=cells["pair"].strip().lower(),
        judge=unguard(cells.get("judge", "").strip()).strip() or path.stem,
        choice=cells["choice"].strip().lower(),
        texts=(shown[0], shown[1], shown[2]) if len(shown) == 3 else None,
    )


def _choices() -> str:
    return f"{', '.join(CHOICES[:-1])} or {CHOICES[-1]}"


def _problem(row: Answer, key: ExportKey, earlier: str | None) -> str | None:
    """The rule that a row breaks, with the remedy; None if it breaks none."""
    if row.export != key.export:
        return (
            f"export: all answers must be of one export, {key.export}; it is {row.export!r}; "
            "import the files of each export by themselves"
        )
    if row.pair not in key.pairs:
        return (
            f"pair: no pair {row.pair!r} in export {key.export}; there are {next(iter(key.pairs))} to "
            f"{list(key.pairs)[-1]}; write it as it was exported"
        )
    if row.texts and not _same_texts(row.texts, key.pairs[row.pair].texts_sha256):
        return (
            f"pair: the texts of the row must be those of {row.pair}; they are not: cells may have moved (one column "
            "sorted alone); sort whole rows. If a program changed the texts, remove the columns prompt, left, right"
        )
    if row.choice and row.choice not in CHOICES:
        return f"choice: must be {_choices()}, or empty; it is {row.choice!r}; correct it"
    if row.choice and earlier:
        return (
            f"pair: a judge answers a pair once; {row.judge!r} has answered {row.pair} in {earlier}; remove one of the "
            "two rows, or tell two judges apart in a column `judge`"
        )
    return None


def _same_texts(texts: tuple[str, str, str], sha256: str) -> bool:
    # Some spreadsheets keep the apostrophe of the guard as text, others take it for a sign of their own and drop it.
    ways = product(*((text, unguard(text)) for text in texts))
    return any(Shown("", *way).texts_sha256() == sha256 for way in ways)
