"""Open files of text: decompressed, and decoded line by line or piece by piece."""

from __future__ import annotations

import codecs
import io
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from tasks.core.errors import TunesmithError

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""Ending of a compressed file → its compression, as pyarrow names it."""

_FIRST_BYTES = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}

PIECE = 1 << 20
"""Bytes that are decoded at once."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, decompressed; its first bytes tell the compression, whatever its ending.

    Raises:
        TunesmithError: the compressed content is broken.
    """
    with path.open("rb") as file:
        head = file.read(4)
        compression = next((name for first, name in _FIRST_BYTES.items() if head.startswith(first)), None)
        file.seek(0)
        if compression is None:
            yield file
            return
        try:
            with pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) as stream:
                yield io.BufferedReader(stream, PIECE)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # an error of the disk, not of the content
                raise
            reason = " ".join(str(error).split())
            raise TunesmithError(f"{path}: not valid {compression}: {reason}; restore the file") from None


@contextmanager
def seekable(path: Path) -> Iterator[IO[bytes]]:
    """As ``opened``, for formats that are not read from the beginning to the end; a compressed file is unpacked."""
    with opened(path) as file:
        if not isinstance(file, io.BufferedReader) or not isinstance(file.raw, pa.NativeFile):
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked, PIECE)
            unpacked.seek(0)
            yield unpacked


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, text with its line end) of every line. Only line feeds end a line.

    Raises:
        TunesmithError: the text is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    with opened(path) as file:
        if _is_utf_16(file):
            yield from _utf_16_lines(path, file)
            return
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf_8(path, number, error) from None


def pieces(path: Path) -> Iterator[str]:
    """Yield the text of a file in pieces of about ``PIECE`` bytes.

    Raises:
        TunesmithError: as ``lines``.
    """
    with opened(path) as file:
        decoder = codecs.getincrementaldecoder("utf-16" if _is_utf_16(file) else "utf-8-sig")()
        line = 1
        while piece := file.read(PIECE):
            try:
                yield decoder.decode(piece)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                raise _not_utf_8(path, line + before.count(b"\n"), error, before.rfind(b"\n") + 1) from None
            line += piece.count(b"\n")
        if decoder.getstate()[0]:
            raise TunesmithError(f"{path}: the text ends within a character; restore the file")


def to_utf8(path: Path) -> str:
    """The remedy for a file that is not UTF-8."""
    if path.suffix.lower() in COMPRESSIONS:
        return "unpack the file, and convert it (if it is Latin-1: `iconv -f ISO-8859-1 -t UTF-8 FILE > NEW`)"
    new = shlex.quote(f"{path.stem}_utf8{path.suffix}")
    return f"convert the file (if it is Latin-1: `iconv -f ISO-8859-1 -t UTF-8 {shlex.quote(str(path))} > {new}`)"


def _is_utf_16(file: IO[bytes]) -> bool:
    head = file.peek(2)[:2] if isinstance(file, io.BufferedReader) else b""
    return head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def _utf_16_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(io.TextIOWrapper(file, "utf-16", newline="\n"), start=1):
            yield number, line
    except UnicodeDecodeError as error:
        raise TunesmithError(
            f"{path}: text must be UTF-8 or UTF-16; behind line {number}: {error.reason}; save the file as UTF-8"
        ) from None


def _not_utf_8(path: Path, line: int, error: UnicodeDecodeError, start: int = 0) -> TunesmithError:
    return TunesmithError(
        f"{path}:{line}: text must be UTF-8; byte {error.start - start + 1} of the line is "
        f"0x{error.object[error.start]:02x}; {to_utf8(path)}"
    )
