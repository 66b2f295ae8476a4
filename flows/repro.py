"""Run one stage with ``dvc repro``, and wait for other DVC processes that hold its locks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows.dvc_lock import Tell, is_busy, wait_for_others
from flows.subprocesses import stopped, stream

# Lines that dvc prints after every stage.
_CHATTER = (
    "To track the changes with git",
    "git add ",
    "To enable auto staging",
    "dvc config core.autostage",
    "Use `dvc push`",
)


def repro(
    address: str,
    root: Path,
    variables: Mapping[str, str],
    on_line: Callable[[str], None],
    tell: Tell,
    options: Sequence[str] = (),
) -> tuple[int, list[str]]:
    """Bring one stage up to date with ``dvc repro --single-item``; return its exit code and all lines of its log.

    Args:
        variables: environment variables of the stage.
        on_line: called with each line of the log, but not with what dvc prints after every stage.
        tell: called with a line about each DVC process that this waits for.
        options: further options of ``dvc repro``.

    Raises:
        StoppedError: the flow was stopped before the stage began.
    """
    # Without --wait-for-lock, dvc gives up after 3 s if another process holds its lock: a finished training is lost.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *options, address]
    while True:
        lines: list[str] = []

        def pass_on(line: str, lines: list[str] = lines) -> None:
            lines.append(line)
            if not line.strip().startswith(_CHATTER) and not is_busy(lines):  # ``wait_for_others`` reports it better
                on_line(line)

        code = stream(command, root, pass_on, variables)
        if code == 0 or stopped() or not is_busy(lines):
            return code, lines
        wait_for_others(root, tell, stopped)
