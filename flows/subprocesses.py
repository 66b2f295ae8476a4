"""Subprocesses of a flow: their output line by line, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.core.stage import PARENT_VARIABLE

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopped = threading.Event()


class StoppedError(RuntimeError):
    """The flow was interrupted: nothing new is started."""


def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], env: Mapping[str, str]) -> int:
    """Run ``command`` in a session of its own, give each line of its output to ``on_line``, return its exit code.

    Raises:
        StoppedError: ``stop_all`` was called; tasks that still wait in a thread pool start nothing then.
    """
    if _stopped.is_set():
        raise StoppedError(f"interrupted before it began: {' '.join(command[1:])}")
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
    """A new flow begins in this process."""
    _stopped.clear()


def stopped() -> bool:
    """Whether ``stop_all`` was called and no flow has begun since."""
    return _stopped.is_set()


def stop_all() -> None:
    """End every running subprocess with all that it started, and let none begin: after Ctrl-C nothing stays."""
    _stopped.set()
    with _lock:
        processes = list(_running)
    endings = [threading.Thread(target=_stop, args=(process,)) for process in processes]
    for ending in endings:  # side by side: each may take its time
        ending.start()
    for ending in endings:
        ending.join()


def _stop(process: subprocess.Popen[str]) -> None:
    # SIGINT first: dvc then lets its stage clean up, and releases its locks.
    for number, patience in ((signal.SIGINT, 15), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
