"""Marks of a merge conflict in the files that DVC and the parameters are read from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.core.params import CONFLICT, conflict_mark


def refuse_conflicts(root: Path) -> None:
    """Refuse conflict marks in any file that DVC reads, before DVC's parser does.

    Raises:
        TunesmithError: has one line per file with marks: the file, the line and the remedy.
    """
    lines = [
        f"{file}:{line}: {CONFLICT}; {_remedy(file, root)}"
        for file in _files(root)
        if file.is_file() and (line := conflict_mark(file)) is not None
    ]
    if lines:
        raise TunesmithError("\n".join(lines))


def _files(root: Path) -> Iterator[Path]:
    yield from (root / name for name in ("dvc.lock", "dvc.yaml", ".dvc/config", ".dvcignore"))
    yield from sorted((root / "params").glob("*.yaml"))
    yield from sorted((root / "data/sources").glob("*.dvc"))


def _remedy(file: Path, root: Path) -> str:
    name = file.relative_to(root).as_posix()
    sides = f"take either side (`git checkout --ours {name}` or `--theirs`)"
    if name == "dvc.lock":
        return f"{sides} or delete the file, and run again"
    if file.suffix == ".dvc":
        return f"{sides}, then `dvc checkout {name.removesuffix('.dvc')}`, and run again"
    return "keep one side and remove the marks"
