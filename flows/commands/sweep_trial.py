"""Run one trial of a sweep as its stage of DVC, and answer it whether to go on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.commands.clean import drop_entries
from flows.dvc_lock import is_busy, wait_for_others
from flows.leases import held
from flows.subprocesses import stream
from tasks.core.errors import TunesmithError
from tasks.core.files import remove
from tasks.core.paths import Paths
from tasks.sweep.channel import ADDRESS, Decide, listening
from tasks.sweep.outputs import Result, read_result
from tasks.sweep.trial_params import TrialParams
from tasks.sweep.trials_file import add_trial, remove_trial

logger = logging.getLogger("tunesmith")

Tell = Callable[[str], None]

# Lines of dvc about its own work.
_CHATTER = (
    "Running stage '",
    "> python -m ",
    "Updating lock file",
    "Stage '",
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
    "Data and pipelines are up to date",
    "Generating lock file",
    "ERROR: failed to reproduce",
)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        result: of a completed trial; None if it was pruned.
        reason: why it was pruned; None if it completed.
    """

    result: Result | None
    reason: str | None


def run_trial(paths: Paths, trial: TrialParams, decide: Decide) -> Outcome:
    """Bring the stage of ``trial`` up to date. Of a pruned trial no stage, no file and no entry is left.

    Args:
        decide: whether the trial goes on after an epoch with this validation loss; called in another thread.

    Raises:
        TunesmithError: the stage fails for another reason than being pruned or diverging.
    """
    name = add_trial(paths, trial)
    address = f"trial@{name}"
    with listening(decide) as (socket, ended), held(paths.root) as variables:
        code, lines = _repro(paths.root, address, variables | {ADDRESS: socket})
    if ended.error is not None:
        raise ended.error
    if code == 0:
        return Outcome(read_result(paths, name), None)
    if ended.pruned is None:
        raise TunesmithError(_why(address, lines))
    forget(paths, name)
    return Outcome(None, ended.pruned)


def forget(paths: Paths, name: str) -> None:
    """Remove the stage of a pruned trial, and what an earlier version of the code may have left of it."""
    remove_trial(paths, name)
    remove(paths.trial(name))
    drop_entries(paths.root, [f"trial@{name}"])


def _repro(root: Path, address: str, variables: dict[str, str]) -> tuple[int, list[str]]:
    """Run the stage; pass its lines to the log; return the exit code and all lines."""
    # Without --wait-for-lock, dvc gives up after 3 s if another process holds its lock.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", address]
    while True:
        lines: list[str] = []

        def on_line(line: str, lines: list[str] = lines) -> None:
            lines.append(line)
            if not line.strip().startswith(_CHATTER) and ": error: " not in line and not is_busy([line]):
                logger.info(line)

        code = stream(command, root, on_line, variables)
        if code == 0 or not is_busy(lines):
            return code, lines
        wait_for_others(root, logger.warning)


def _why(address: str, lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith(f"{address}: error: ")]
    return "\n".join(errors or [f"{address}: error: {' | '.join(lines[-3:])}"])
