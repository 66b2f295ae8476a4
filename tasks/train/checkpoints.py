"""What a killed training goes on from: weights that are trained, optimizer, schedule, order, random state, loss curve.

A checkpoint is written under another name and renamed when it is whole, with the size of each of its files in
``complete.json``. It holds the trained weights alone, the same way for every method.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tasks.core import files

logger = logging.getLogger("tunesmith")

COMPLETE = "complete.json"
STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def seal(partial: Path, target: Path) -> None:
    """Turn the folder ``partial`` into the checkpoint ``target``; at each moment there is the old one or the new."""
    sizes = {path.name: path.stat().st_size for path in partial.iterdir()}
    files.write_json(partial / COMPLETE, sizes)
    old = target.with_name("replaced")
    if target.exists():
        files.remove(old)
        target.rename(old)
    partial.rename(target)
    files.remove(old)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file has the size that it was sealed with."""
    try:
        sizes = files.read_json(checkpoint / COMPLETE)
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def found(folder: Path) -> dict[int, Path]:
    """Checkpoints by their step, in order; whether they are whole is not looked at."""
    named = {path: _NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*")}
    return dict(sorted((int(match[1]), path) for path, match in named.items() if match))


def last_complete(folder: Path) -> Path | None:
    """The last whole checkpoint; what is not whole (of a full disk, or cut by a crash) is removed, and said so."""
    for path in reversed(list(found(folder).values())):
        if is_whole(path):
            return path
        logger.warning("%s: this checkpoint is damaged or of another version; the one before it is used", path)
        files.remove(path)
    return None


def keep(folder: Path, last: int) -> None:
    """Remove all checkpoints but the ``last`` so many, and for each of these the best so far."""
    kept = list(found(folder))[-last:]
    best = {files.read_json(folder / f"checkpoint-{step}" / STATE)["best_global_step"] for step in kept}
    for step in set(found(folder)) - set(kept) - best:
        files.remove(folder / f"checkpoint-{step}")
