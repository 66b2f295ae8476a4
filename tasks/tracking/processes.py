"""Notes about processes: which one works on a run, and whether it has ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """The note of this process: ``pid``, ``uptime`` (seconds from the machine's boot to its start) and ``host``."""
    return {"pid": os.getpid(), "uptime": _uptime(psutil.Process()), "host": socket.gethostname()}


def is_here(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note ran on this machine; only then can it be looked up."""
    return bool(note["host"] == socket.gethostname())


def is_gone(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note has ended. A process on another machine cannot be checked and counts as running."""
    if not is_here(note):
        return False
    try:
        process = psutil.Process(note["pid"])
        uptime = note.get("uptime", 0)  # a note of an earlier release has none; its process has ended since
        return abs(_uptime(process) - uptime) > 1 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _uptime(process: psutil.Process) -> float:
    """Seconds from boot to the start of the process. The start as a time of day changes when the clock is set."""
    return float(process.create_time() - psutil.boot_time())
