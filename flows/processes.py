"""Subprocesses of a flow: their output line by line, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks.stage import PARENT_VARIABLE

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()


def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], env: Mapping[str, str]) -> int:
    """Run ``command`` in a session of its own, give each line of its output to ``on_line``, return its exit code."""
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


def stop_all() -> None:
    """End every running subprocess with all that it started: after Ctrl-C nothing stays."""
    with _lock:
        processes = list(_running)
    for process in processes:
        _stop(process)


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
