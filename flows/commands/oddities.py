"""Count what is odd in the rows of new files: empty texts, equal rows, long rows, control tokens, order of roles."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flows.commands.turn_checks import turn_problems
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.text.rows import Row

_SEPARATOR = "\x1f"

_FIRST = 3
"""Lines that are named of each kind."""

_USUAL_TOKENS = r"<\|[a-z0-9_]+\|>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|<</?SYS>>|\[/?INST\]"
"""Control tokens of usual chat templates."""


_WITH_TOKENS, _TOO_LONG = "with control tokens in a text", "longer than max_length"
_UNREADABLE = "with a conversation that cannot be read"


@dataclass
class Count:
    """Rows of one kind, and the locations of the first."""

    rows: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, location: str) -> None:
        self.rows += 1
        if len(self.first) < _FIRST:
            self.first.append(location)


@dataclass(frozen=True)
class Checked:
    """What of a row is looked at.

    Attributes:
        needed: columns that each row must have.
        texts: columns in which a blank text is odd.
        conversations: columns of conversations.
        columns: all columns that templates use.
        tokens: special tokens of the base model.
        max_bytes: a row with more bytes of text is probably too long; None for no limit.
        marked: conversations must mark what is learned.
    """

    needed: Sequence[str]
    texts: Sequence[str]
    conversations: Sequence[str]
    columns: Sequence[str]
    tokens: Sequence[str] = ()
    max_bytes: float | None = None
    marked: bool = False


class Oddities:
    """Counts of odd rows; of each row, only the line number and a hash are kept."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._counts: dict[str, Count] = {}
        self._hashes, self._lines = array("q"), array("Q")
        self._files: list[tuple[int, str]] = []  # number of the first row, name
        self._token = re.compile("|".join([*map(re.escape, checked.tokens), _USUAL_TOKENS]))
        self._tokens: dict[str, None] = {}
        self._unreadable = ""  # the first error

    def add(self, file: str, line: int, row: Row) -> None:
        """Look at a row."""
        checked = self._checked
        if not self._files or self._files[-1][1] != file:
            self._files.append((len(self._lines), file))
        self._lines.append(line)
        for column in checked.needed:
            if column not in row:
                self._count(f"without the column {column}", file, line)
        for column in checked.texts:
            if column in row and _blank(row[column]):
                self._count(f"with an empty {column}", file, line)
        for column in checked.conversations:
            self._look_at_turns(row.get(column), file, line)
        whole = _SEPARATOR.join(texts_in(row, checked.columns))
        if ("<" in whole or "[" in whole) and self._holds_token(whole):
            self._count(_WITH_TOKENS, file, line)
        if checked.max_bytes is not None and byte_count(whole) > checked.max_bytes:
            self._count(_TOO_LONG, file, line)
        self._hashes.append(hash(whole))

    def _look_at_turns(self, value: Any, file: str, line: int) -> None:
        try:
            for problem in turn_problems(value, f"{file}:{line}", self._checked.marked):
                self._count(problem, file, line)
        except TunesmithError as error:
            self._unreadable = self._unreadable or str(error)
            self._count(_UNREADABLE, file, line)

    def _count(self, kind: str, file: str, line: int) -> None:
        self._counts.setdefault(kind, Count()).add(f"{file}:{line}")

    def _holds_token(self, text: str) -> bool:
        token = self._token.search(text)
        if token and len(self._tokens) < _FIRST:
            self._tokens[token[0]] = None
        return token is not None

    def counts(self) -> dict[str, Count]:
        """Kind → its rows, with those that are equal to an earlier row in the columns that templates use."""
        hashes = np.frombuffer(self._hashes, np.int64) if self._hashes else np.empty(0, np.int64)
        order = np.argsort(hashes, kind="stable")
        same = order[1:][hashes[order][1:] == hashes[order][:-1]]
        if not len(same) or not self._checked.columns:
            return self._counts
        first = [self._location(int(number)) for number in np.sort(same)[:_FIRST]]
        return self._counts | {"equal to an earlier row, unused columns aside": Count(len(same), first)}

    def _location(self, number: int) -> str:
        file = next(name for start, name in reversed(self._files) if start <= number)
        return f"{file}:{self._lines[number]}"

    def lines(self, limit: str) -> list[str]:
        """A line for each kind: ``12 rows with an empty output: train:4, train:9, train:30, …``.

        Args:
            limit: how long a row may be, and how that is estimated.
        """
        remarks = {_TOO_LONG: limit, _UNREADABLE: self._unreadable}
        remarks |= {_WITH_TOKENS: f"{', '.join(self._tokens)}; they are read as plain text"}
        lines = []
        for kind, count in self.counts().items():
            remark = f" ({remarks[kind]})" if remarks.get(kind) else ""
            more = ", …" if count.rows > len(count.first) else ""
            lines.append(f"{counted(count.rows, 'row')} {kind}{remark}: {', '.join(count.first)}{more}")
        return lines


def _blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value == []


def _texts(value: Any) -> list[str]:
    """All texts inside a value; of a message the values, since its keys are the same everywhere."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list | dict):
        texts: list[str] = []
        for item in value if isinstance(value, list) else value.values():
            texts += (item,) if type(item) is str else _texts(item)
        return texts
    return [] if value is None else [str(value)]


def texts_in(row: Row, columns: Sequence[str]) -> list[str]:
    """All texts in ``columns``."""
    return [text for column in columns for text in _texts(row.get(column))]


def byte_count(text: str) -> int:
    """Bytes of ``text`` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())
