"""The files of a source and the parts of its split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import TunesmithError
from tasks.core.params import load, value_at
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.split.params import PARTS, SplitParams

_PARTS = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Word in a file's name → part of a split."""


def part_of(stem: str) -> str | None:
    """The part of a split that the name of a file states; None if it states none or several."""
    parts = {_PARTS[word] for word in re.findall(r"[a-z]+", stem.lower()) if word in _PARTS}
    return parts.pop() if len(parts) == 1 else None


def refuse_unnamed(root: Path, name: str, stems: Sequence[str], whole: bool, remedy: str) -> None:
    """Refuse files of a source that is split ``by: file`` if ``split.files`` lacks one of ``stems``.

    Args:
        whole: ``stems`` are all files of the source, so ``split.files`` must not name others either.
        remedy: the end of the error: what to do once ``split.files`` is corrected.
    """
    path = Paths(root).params / "sources.yaml"
    if value_at(mapping(path, "sources"), f"{name}.split.by") != "file":
        return
    files = load(SplitParams, path, "sources", name, "split").files
    named = [stem for part in files.values() for stem in part]
    unnamed = [stem for stem in stems if stem not in named]
    missing = [stem for stem in named if stem not in stems] if whole else []
    if not unnamed and not missing:
        return
    wanted: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, listed in files.items():
        wanted[part] = [stem for stem in listed if stem in stems]
    for stem in unnamed:
        wanted[part_of(stem) or "train"].append(stem)
    shown = ", ".join(f"{part}: [{', '.join(listed)}]" for part, listed in wanted.items() if listed)
    problem = f"does not name {', '.join(unnamed)}" if unnamed else f"names {', '.join(missing)}, which would be gone"
    raise TunesmithError(
        f"params/sources.yaml: sources.{name}.split.files: `by: file` needs the part of every file; it {problem}. "
        f"Write, for example, `files: {{{shown}}}`, then {remedy}"
    )
