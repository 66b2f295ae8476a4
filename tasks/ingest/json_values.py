"""Decode JSON values one after another from a text of any length, with the standard library's decoder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

_UNFINISHED = 16
"""A value that breaks off with fewer characters behind it may go on in the next piece of the text."""


class Decoder:
    """Decodes JSON as ``json`` does, but NaN and Infinity, which JSON lacks, become None.

    Attributes:
        missing: number of values that became None so far.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._decoder = json.JSONDecoder(parse_constant=self._null, parse_float=_finite)
        self.decode = self._decoder.decode
        self.raw_decode = self._decoder.raw_decode

    def _null(self, literal: str) -> None:
        self.missing += 1


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"a number must be at most 1.8e308; it is {text}")
    return value


class Stream:
    """Reads JSON values from pieces of one text; holds no more of it than one value and one piece."""

    def __init__(self, pieces: Iterator[str], decoder: Decoder) -> None:
        self._pieces, self._decoder = pieces, decoder
        self._text, self._position = "", 0
        self._lines, self._column = 0, 0  # of the text that is gone

    def peek(self) -> str:
        """The next character that is no white space, without taking it; "" at the end."""
        while True:
            while self._position < len(self._text):
                if self._text[self._position] not in " \t\r\n":
                    return self._text[self._position]
                self._position += 1
            if not self._read():
                return ""

    def take(self, expected: str) -> str:
        """Take the next character, which must be one of ``expected``.

        Raises:
            JSONDecodeError: it is another one.
        """
        character = self.peek()
        if not character or character not in expected:
            wanted = " or ".join(map(repr, expected))
            raise json.JSONDecodeError(f"Expecting {wanted}", self._text, self._position)
        self._position += 1
        return character

    def at_objects(self) -> bool:
        """Whether an array follows whose first element is an object."""
        if self.peek() != "[":
            return False
        while not (ahead := self._text[self._position + 1 :].lstrip(" \t\r\n")[:1]) and self._read():
            pass
        return ahead == "{"

    def value(self) -> Any:
        """Decode the next value.

        Raises:
            JSONDecodeError: it is not valid JSON.
            ValueError: it holds a number that is too large.
            RecursionError: it is too deep.
        """
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _UNFINISHED
                if unfinished and self._read():
                    continue
                raise
            # A number at the end of the text may have more digits in the next piece.
            if end == len(self._text) and not isinstance(value, dict | list | str) and self._read():
                continue
            self._position = end
            return value

    def where(self, error: json.JSONDecodeError) -> str:
        """Line and column of an error that this stream raised."""
        column = error.colno + (self._column if error.lineno == 1 else 0)
        return f"line {self._lines + error.lineno}, column {column}"

    def _read(self) -> bool:
        """Let the text go on with the next piece, or several if a value is long; False at the end."""
        gone, rest = self._text[: self._position], self._text[self._position :]
        more: list[str] = []
        while sum(map(len, more)) <= len(rest):
            piece = next(self._pieces, None)
            if piece is None:
                break
            more.append(piece)
        if not more:
            return False
        self._lines += gone.count("\n")
        self._column = len(gone) - gone.rfind("\n") - 1 + (0 if "\n" in gone else self._column)
        self._text, self._position = rest + "".join(more), 0
        return True
