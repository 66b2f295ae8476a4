"""Names of a file's columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.core.errors import TunesmithError

Note = Callable[[str], None]
"""Takes a sentence about a file that is read in another way than it is written."""


def cut_names(path: Path, names: Sequence[str], note: Note) -> list[str]:
    """``names`` without the blanks around them; ``note`` gets the names that had some."""
    padded = [name for name in names if name != name.strip()]
    if padded:
        note(f"{path.name}: blanks around the names of columns are cut: {', '.join(map(repr, padded))}")
    return [name.strip() for name in names]


def refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    """Raises TunesmithError: two columns have one name."""
    repeated = [name for i, name in enumerate(columns) if name in columns[:i]]
    if repeated:
        raise TunesmithError(f"{path}: columns must have different names; {repeated[0]!r} occurs twice; rename one")
