"""Run one trial of a sweep as its DVC stage, and tell it after each epoch whether to continue."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from flows.commands.clean import drop_entries
from flows.failures import why
from flows.leases import held
from flows.repro import repro
from tasks.core.errors import TunesmithError
from tasks.core.files import remove
from tasks.core.paths import Paths
from tasks.sweep.channel import ADDRESS, Decide, listening
from tasks.sweep.outputs import Result, read_result
from tasks.sweep.trial_params import TrialParams
from tasks.sweep.trials_file import add_trial, remove_trial

logger = logging.getLogger("tunesmith")

# Lines of dvc about its own work.
_OF_DVC = (
    "Running stage '",
    "> python -m ",
    "Updating lock file",
    "Stage '",
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
    """Bring the stage of ``trial`` up to date. A pruned trial leaves no stage, file or entry.

    Args:
        decide: whether the trial goes on after an epoch with this validation loss; called in another thread.

    Raises:
        TunesmithError: the stage fails for another reason than being pruned or diverging.
    """
    name = add_trial(paths, trial)
    address = f"trial@{name}"
    with listening(decide) as (socket, ended), held(paths.root) as variables:
        code, lines = repro(address, paths.root, variables | {ADDRESS: socket}, _log, logger.warning)
    if ended.error is not None:
        raise ended.error
    if code == 0:
        return Outcome(read_result(paths, name), None)
    if ended.pruned is None:
        raise TunesmithError(why(address, lines))
    forget(paths, name)
    return Outcome(None, ended.pruned)


def forget(paths: Paths, name: str) -> None:
    """Remove the stage of a pruned trial, and what an earlier version of the code may have left of it."""
    remove_trial(paths, name)
    remove(paths.trial(name))
    drop_entries(paths.root, [f"trial@{name}"])


def _log(line: str) -> None:
    if not line.strip().startswith(_OF_DVC) and ": error: " not in line:  # the errors follow in the exception
        logger.info(line)
