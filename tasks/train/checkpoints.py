"""Checkpoints: trained weights, optimizer, schedule, order of rows, random state and loss curve of a training.

A checkpoint is written under another name and renamed when it is complete, with the size of each of its files in
``complete.json``. For every method it holds the trained weights only.
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
    """Rename ``partial`` to the checkpoint ``target``; at every moment either the old or the new one exists."""
    sizes = {path.name: path.stat().st_size for path in partial.iterdir()}
    files.write_json(partial / COMPLETE, sizes)
    old = target.with_name("replaced")
    if target.exists():
        files.remove(old)
        target.rename(old)
    partial.rename(target)
    files.remove(old)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file has the size that ``seal`` recorded."""
    try:
        sizes = files.read_json(checkpoint / COMPLETE)
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def by_step(folder: Path) -> dict[int, Path]:
    """Map steps to checkpoints, in order, complete or not."""
    matches = {path: _NAME.fullmatch(path.name) for path in folder.glob("checkpoint-*")}
    return dict(sorted((int(match[1]), path) for path, match in matches.items() if match))


def last_complete(folder: Path) -> Path | None:
    """Return the newest complete checkpoint. Remove newer, incomplete ones (full disk, crash) with a warning."""
    for path in reversed(list(by_step(folder).values())):
        if is_complete(path):
            return path
        files.remove(path)
        logger.warning(
            "%s: a checkpoint must be complete and of this version; this one was not and is removed; training resumes "
            "from an earlier checkpoint, or from the start if there is none",
            path,
        )
    return None


def keep(folder: Path, last: int) -> None:
    """Keep the newest ``last`` checkpoints, and the best one at the time of each; remove all others."""
    kept = list(by_step(folder))[-last:]
    best = {files.read_json(folder / f"checkpoint-{step}" / STATE)["best_global_step"] for step in kept}
    for step in set(by_step(folder)) - set(kept) - best:
        files.remove(folder / f"checkpoint-{step}")
