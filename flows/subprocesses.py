"""Run the subprocesses of a flow: pass on their output line by line, and leave none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.core.stage import PARENT_VARIABLE

Signals = Iterable[tuple[signal.Signals, float]]

# SIGINT first: dvc then lets its stage clean up, and releases its locks.
_SIGNALS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopped = threading.Event()


class StoppedError(RuntimeError):
    """The flow was interrupted, so no subprocess may start."""


def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], env: Mapping[str, str]) -> int:
    """Run ``command`` in its own session, pass each line of its output to ``on_line``, and return its exit code.

    Raises:
        StoppedError: ``stop_all`` was called, so tasks that still wait in a thread pool must not start anything.
    """
    if _stopped.is_set():
        raise StoppedError(f"the flow was interrupted before this command started: {' '.join(command[1:])}")
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **env, PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with _lock:
        _running.add(process)
    if _stopped.is_set():  # it was set between the check above and this line
        _stop(process)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                on_line(line.rstrip())
        return process.wait()
    finally:
        with _lock:
            _running.discard(process)
        _stop(process)


def allow() -> None:
    """Allow subprocesses again, for a new flow in this process."""
    _stopped.clear()


def stopped() -> bool:
    """Whether ``stop_all`` was called, and ``allow`` was not called since."""
    return _stopped.is_set()


def stop_all() -> None:
    """End every running subprocess with its children, and refuse new ones, so that nothing is left after Ctrl-C."""
    _stopped.set()
    with _lock:
        processes = list(_running)
    _in_parallel(_stop, processes)


def end_groups(processes: Iterable[subprocess.Popen[Any]], signals: Signals) -> None:
    """``end_group`` for all ``processes`` at once."""
    _in_parallel(lambda process: end_group(process, signals), processes)


def _in_parallel(end: Callable[[Any], None], processes: Iterable[subprocess.Popen[Any]]) -> None:
    """Call ``end`` for all processes at once, since each may take seconds."""
    endings = [threading.Thread(target=end, args=(process,)) for process in processes]
    for ending in endings:
        ending.start()
    for ending in endings:
        ending.join()


def end_group(process: subprocess.Popen[Any], signals: Signals) -> None:
    """End all processes of the group that ``process`` leads, also those that outlive it.

    Args:
        signals: to send in turn, each with the seconds to wait for the end of the group.
    """
    for number, patience in signals:
        end = time.monotonic() + patience
        with suppress(ProcessLookupError):  # raised once the group has no process
            os.killpg(process.pid, number)
            while time.monotonic() < end:
                process.poll()  # else the leader stays in the group after its end
                os.killpg(process.pid, 0)
                time.sleep(0.1)
            continue
        return


def _stop(process: subprocess.Popen[Any]) -> None:
    end_group(process, _SIGNALS)
