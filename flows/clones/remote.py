"""Exchange outputs with DVC's remote."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from flows.retries import retried
from flows.subprocesses import stream
from tasks.core.errors import TunesmithError
from tasks.core.faults import TransientError

Say = Callable[[str], None]

_OF_A_REMOTE = re.compile(
    r"timed? ?out|time-out|(could not|cannot|unable to) connect|connection|reset by peer|temporar|unavailable|"
    r"slow ?down|internal ?error|\b50[0234]\b|too many requests|\b429\b|service ?error|server ?error",
    re.IGNORECASE,
)
"""Errors of a remote that may be gone at the next try, as dvc prints them: it has no exit code for them."""

_FIRST_ACCESS = re.compile(r"failed to connect to \S+ \(.*?\)")
"""dvc prints this before each error of its first access, also before missing keys."""

_DVC = [sys.executable, "-m", "dvc", "--wait-for-lock"]


def pull_all(root: Path, say: Say) -> None:
    """Download all sources and outputs of this commit, and the run cache, from DVC's default remote.

    Raises:
        TunesmithError: no remote is configured, or it lacks something.
    """
    _dvc(root, ["pull", "--run-cache"], say)


def pull_outputs(root: Path, stages: Iterable[str], say: Say) -> None:
    """Make the outputs of ``stages`` those that ``dvc.lock`` names, from the cache or the remote.

    Raises:
        TunesmithError: as ``pull_all``.
    """
    if names := sorted(stages):
        _dvc(root, ["pull", "--force", *names], say)


def push_results(root: Path, stages: Iterable[str], say: Say) -> None:
    """Upload the outputs of ``stages``, and the run cache, which tells other clones what they were built from.

    Raises:
        TunesmithError: no remote is configured, or it refuses something.
    """
    _dvc(root, ["push", "--run-cache", *sorted(stages)], say)


def fetch_run_cache(root: Path, stages: Iterable[str], say: Say) -> None:
    """Download the run cache, so that results of other clones count as built here.

    Raises:
        TunesmithError: as ``pull_all``.
    """
    _dvc(root, ["fetch", "--run-cache", *sorted(stages)], say)


def is_fault_of_remote(errors: Iterable[str]) -> bool:
    """Whether errors that dvc printed come from a remote that is down or overloaded."""
    return any(_OF_A_REMOTE.search(_FIRST_ACCESS.sub("", line)) for line in errors)


def refuse_no_remote(root: Path) -> None:
    """Raise TunesmithError if DVC has no default remote."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        if not repo.config["core"].get("remote"):
            raise TunesmithError(
                f"{root / '.dvc/config'}: core.remote: DVC needs a default remote; none is configured; "
                "`dvc remote add --default NAME URL` adds one, with --local in this clone alone"
            )


def _dvc(root: Path, arguments: list[str], say: Say) -> None:
    """Run ``dvc``, and run it again after a fault of the remote: what was exchanged before is not sent again."""
    refuse_no_remote(root)
    retried(lambda: _dvc_once(root, arguments, say), say)


def _dvc_once(root: Path, arguments: list[str], say: Say) -> None:
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        say(line)

    if stream([*_DVC, *arguments], root, on_line, {}):
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-3:]
        kind = TransientError if is_fault_of_remote(errors) else TunesmithError
        raise kind(f"`dvc {' '.join(arguments)}` failed: {' '.join(errors)}")
