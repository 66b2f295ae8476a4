"""Read JSON files: an object per line, one array of objects, or an object that holds one such array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tasks.core.errors import TunesmithError
from tasks.ingest.header import Note
from tasks.ingest.json_values import Decoder, Stream
from tasks.ingest.opening import lines, pieces
from tasks.text.rows import Row

Shape = Literal["lines", "array", "object"]


def read_json(path: Path, ending: str, note: Note) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of an object per line, or (number from 1, row) of an array's objects.

    The content tells which of them the file is. ``note`` gets the number of values that are NaN or Infinity.

    Args:
        ending: format that the ending names. A ``json`` file with one object may hold the rows in an array of it;
            in a ``jsonl`` file the object is a row.
    """
    decoder = Decoder()
    shape = _shape(path, ending)
    first: int | None = None
    for number, row in _lines(path, decoder) if shape == "lines" else _elements(path, shape, decoder):
        if decoder.missing and first is None:
            first = number
        yield number, row
    if first is not None:
        note(f"{path.name}: {decoder.missing} NaN or Infinity, which JSON lacks, are null; the first in {first}")


def _shape(path: Path, ending: str) -> Shape:
    """The shape of a file, by the beginning of its text."""
    head = "".join(islice(pieces(path), 2)).lstrip()
    if head.startswith("["):
        return "array"
    line, line_end, rest = head.partition("\n")
    if not line.startswith("{"):
        return "lines"
    row = _object(line)
    if row is None:
        # An object over several lines breaks off behind a bracket, a comma or a colon.
        broken_off = line_end and line.rstrip()[-1] in "{[,:"
        return "object" if broken_off or (ending == "json" and not line_end) else "lines"
    alone = ending == "json" and not rest.strip()
    return "object" if alone and len([key for key, value in row.items() if _holds_rows(value)]) == 1 else "lines"


def _object(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _holds_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _lines(path: Path, decoder: Decoder) -> Iterator[tuple[int, Row]]:
    for number, line in lines(path):
        if not line.strip():
            continue
        problem = "correct the line"
        try:
            row = decoder.decode(line)
        except json.JSONDecodeError as error:
            raise TunesmithError(
                f"{path}:{number}: each line must be one JSON object; {error.msg} (column {error.colno}); {problem}"
            ) from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list in a list in a ...
            raise TunesmithError(f"{path}:{number}: each line must be one JSON object; {error}; {problem}") from None
        if not isinstance(row, dict):
            raise TunesmithError(
                f"{path}:{number}: each line must be a JSON object; it is a {type(row).__name__}; {problem}"
            )
        yield number, row


def _elements(path: Path, shape: Shape, decoder: Decoder) -> Iterator[tuple[int, Row]]:
    stream = Stream(pieces(path), decoder)
    try:
        yield from _array(path, stream) if shape == "array" else _array_in_object(path, stream)
        if stream.peek():
            raise TunesmithError(
                f"{path}: a JSON file must be one array, or one object per line; more follows the first value; "
                f"`jq -c . {path.name} > NEW.jsonl` writes an object per line"
            )
    except json.JSONDecodeError as error:
        raise TunesmithError(
            f"{path}: not valid JSON in {stream.where(error)}: {error.msg}; correct the file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise TunesmithError(f"{path}: not valid JSON: {error}; correct the file") from None


def _array(path: Path, stream: Stream) -> Iterator[tuple[int, Row]]:
    stream.take("[")
    for number, row in enumerate(_values(stream), start=1):
        if not isinstance(row, dict):
            raise TunesmithError(
                f"{path}: element {number} of the array must be a JSON object; it is a {type(row).__name__}; "
                "write each row as an object with the names of its columns"
            )
        yield number, row


def _values(stream: Stream) -> Iterator[Any]:
    """The values of an array behind its opening bracket, up to the closing one."""
    if stream.peek() == "]":
        stream.take("]")
        return
    while True:
        yield stream.value()
        if stream.take(",]") == "]":
            return


def _array_in_object(path: Path, stream: Stream) -> Iterator[tuple[int, Row]]:
    """The rows of the only array of objects in an object; its other values are passed over."""
    stream.take("{")
    arrays: list[str] = []
    while True:
        name = stream.value()
        stream.take(":")
        if not stream.at_objects():
            stream.value()
        else:
            arrays.append(str(name))
            if len(arrays) > 1:
                raise TunesmithError(
                    f"{path}: the rows must be in one array; {' and '.join(map(repr, arrays))} are arrays of objects; "
                    f"`jq -c '.{arrays[0]}[]' {path.name} > {arrays[0]}.jsonl` writes one as a file of its own"
                )
            yield from _array(path, stream)
        if stream.take(",}") == "}":
            break
    if not arrays:
        raise TunesmithError(
            f"{path}: the object must hold the rows in an array of objects; it has none; write an object per line or "
            "an array of objects (pandas: `to_json(..., orient='records')`)"
        )
