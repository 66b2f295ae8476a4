"""Bring the fetched sources up to date, in a task per source."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect.states import State

from flows.locked import refuse_failure
from flows.sources.fetched import fetched_names
from flows.sources.refresh import Fetched, fetch_and_check, replace
from flows.steps import run_step
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths


def refresh_sources(root: Path, logger: Any) -> None:
    """Fetch and check every fetched source, one task each; if all pass, replace those with changes.

    Raises:
        TunesmithError: with the problems of all sources. No source is replaced then.
    """
    fetched: list[Fetched] = []

    def fetch(name: str) -> State[Any]:
        return run_step(
            f"refresh@{name}", lambda paths: fetched.append(fetch_and_check(paths.root, name)), root, return_state=True
        )

    names = fetched_names(root)
    if not names:
        logger.warning("refresh: params/sources.yaml names no source under `fetched`, so there is nothing to fetch")
    problems = [str(state.message) for state in map(fetch, names) if not state.is_completed()]
    if problems:
        raise TunesmithError("\n".join([*problems, "no source was replaced; correct these sources, then run again"]))
    for one in fetched:
        if one.folder is not None:
            refuse_failure(run_step(f"replace@{one.name}", partial(_replace, one), root, return_state=True))


def _replace(fetched: Fetched, paths: Paths) -> None:
    replace(paths.root, fetched)
