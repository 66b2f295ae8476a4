"""Bring some stages up to date before a command reads what they write, or say that it is stale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import networkx as nx

from flows.dag import read_dag
from flows.dvc_lock import run_dvc
from flows.workspace import workspace_lock
from tasks.core.errors import TunesmithError

Tell = Callable[[str], None]


class DvcError(TunesmithError):
    """DVC itself failed before or between stages; no stage reports an error."""


def bring_up_to_date(root: Path, stages: Sequence[str], holder: str, tell: Tell) -> None:
    """Run ``reproduce`` under the workspace's lock."""
    with workspace_lock(root, holder):
        reproduce(root, stages, tell)


def reproduce(root: Path, stages: Sequence[str], tell: Tell) -> None:
    """Run ``dvc repro`` on ``stages`` and all that they depend on. The caller holds the workspace's lock.

    ``tell`` gets a line about each DVC process that this waits for.

    Raises:
        TunesmithError: A stage fails; the message holds that stage's error lines.
        DvcError: DVC fails.
    """
    done = run_dvc(root, ["repro", *stages], tell)
    if done.returncode == 0:
        return
    lines = done.stdout.splitlines()
    if errors := [line for line in lines if ": error: " in line]:
        raise TunesmithError("\n".join(errors))
    raise DvcError("\n".join(lines[-3:]))


def stale(root: Path, stages: Sequence[str], tell: Tell | None = None) -> list[str]:
    """The stages that DVC would run again, in order: of ``stages`` and of all that they depend on.

    Raises:
        TunesmithError: as ``read_dag``.
    """
    dag = read_dag(root, tell)
    known = [address for address in stages if address in dag.graph]
    needed = set(known).union(*(nx.ancestors(dag.graph, address) for address in known))
    return [address for address in dag.order if address in needed and address in dag.stale]


def ingest_first(root: Path, sources: Sequence[str], holder: str, tell: Tell) -> str | None:
    """Bring the raw rows of ``sources`` up to date. If DVC cannot, return a note that they may be stale, and why.

    Raises:
        TunesmithError: ``ingest`` refuses a file of a source.
    """
    stages = [f"ingest@{name}" for name in sources]

    def note(error: TunesmithError) -> str:
        reason = str(error).splitlines()[-1]
        return f"these rows may be stale: {', '.join(stages)} could not be brought up to date ({reason})"

    try:
        behind = stale(root, stages, tell)
    except TunesmithError as error:
        return note(error)
    if behind:
        tell(f"bringing {', '.join(behind)} up to date")
        try:
            bring_up_to_date(root, stages, holder, tell)
        except DvcError as error:
            return note(error)
    return None


def stale_note(root: Path, stages: Sequence[str], what: str) -> str | None:
    """A line that names the stale stages behind ``what``, for commands that only read files; None if there are none."""
    try:
        behind = stale(root, stages)
    except TunesmithError as error:
        return f"{what} may be stale: {str(error).splitlines()[0]}"
    if not behind:
        return None
    named = ", ".join(behind[:5]) + (f" and {len(behind) - 5} more" if len(behind) > 5 else "")
    return f"{what} may be stale: {named} would run again; `tunesmith status` says why, `tunesmith run` runs them"
