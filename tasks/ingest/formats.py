"""The format of a file, by the ending of its name and by its first bytes."""

from __future__ import annotations

from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.ingest.opening import COMPRESSIONS, opened

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".xlsx": "excel",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
"""Ending → format. Each ending may be followed by one of ``COMPRESSIONS``."""

_FIRST_BYTES = {b"PAR1": "parquet", b"ARROW1": "arrow", b"PK\x03\x04": "excel", b"\xd0\xcf\x11\xe0": "excel"}


def ending_of(path: Path) -> str:
    """The ending that states the format: ``.jsonl`` of ``train.jsonl.gz``; in lower case."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSIONS else suffix


def name_of(path: Path) -> str:
    """The name of a file of a source, without its endings: ``train`` of ``train.jsonl.gz``."""
    stem = path.stem
    return Path(stem).stem if path.suffix.lower() in COMPRESSIONS and ending_of(path) in FORMATS else stem


def format_of(path: Path, requested: str = "auto") -> str:
    """The format of ``path``: as requested, or by its first bytes, or by its ending.

    Raises:
        TunesmithError: neither the ending nor the first bytes tell the format.
    """
    if requested != "auto":
        return requested
    stated = _by_first_bytes(path) or FORMATS.get(ending_of(path))
    if stated is None:
        raise TunesmithError(
            f"{path}: the ending must be one of {', '.join(FORMATS)}, also with {', '.join(COMPRESSIONS)} behind it; "
            f"it is {path.suffix or 'missing'!r}; save it as CSV, JSONL or Parquet; if it is in one of these formats "
            "already, rename the file or set `ingest.format` of the source"
        )
    return stated


def _by_first_bytes(path: Path) -> str | None:
    if not path.is_file():
        return None
    with opened(path) as file:
        head = file.read(8)
    return next((name for first, name in _FIRST_BYTES.items() if head.startswith(first)), None)
