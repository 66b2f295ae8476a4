"""``tunesmith data refresh``: bring fetched sources up to date now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.commands.next_steps import proof_of_stored
from flows.sources.fetched import chosen
from flows.sources.refresh import Fetched, fetch_and_check, replace
from flows.workspace import workspace_lock
from tasks.core.paths import Paths
from tasks.resolve.check import Problems, mapping


def refresh(root: Path, names: Sequence[str] | None, accept: bool = False) -> list[str]:
    """Fetch and check the sources ``names`` (by default all), then replace those with changes. Return what comes next.

    Args:
        accept: as in ``fetch_and_check``.

    Raises:
        TunesmithError: a source cannot be fetched or a check fails. Then no source is replaced.
    """
    problems, ready = Problems(), []
    with workspace_lock(root, "tunesmith data refresh"):
        for name in chosen(root, names):
            ready.append(problems.catch(fetch_and_check, root, name, accept))
        if problems.lines and len(ready) > 1:
            problems.lines.append("no source was replaced")
        problems.refuse()
        for fetched in ready:
            replace(root, fetched)
        return _next(root, [fetched for fetched in ready if fetched.folder is not None])


def _next(root: Path, replaced: Sequence[Fetched]) -> list[str]:
    if not replaced:
        return []
    sources = mapping(Paths(root).params / "sources.yaml", "sources")
    lines: list[str] = []
    for fetched in replaced:
        if fetched.name not in sources:
            lines += proof_of_stored(root, fetched.name)
    return lines or ["Next: `tunesmith run`"]
