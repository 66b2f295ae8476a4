"""Notes about processes: which one works on a run, and whether it has ended."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """The note of this process.

    Returns:
        ``pid``, ``started`` (unix seconds), ``uptime`` (seconds from boot to its start), ``boot`` and ``host``.
    """
    process = psutil.Process()
    start = {"started": process.create_time(), "uptime": _uptime(process), "boot": _boot()}
    return {"pid": process.pid, **start, "host": socket.gethostname()}


def is_here(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note ran on this machine; only then can it be looked up."""
    return bool(note["host"] == socket.gethostname())


def is_gone(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note has ended. A process on another machine cannot be checked and counts as running."""
    if not is_here(note):
        return False
    try:
        process = psutil.Process(note["pid"])
        return not _is_same(process, note) or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_same(process: psutil.Process, note: Mapping[str, Any]) -> bool:
    """Whether the process is the one of the note, not a later one with the same pid."""
    if "uptime" not in note:  # of an earlier release
        return abs(process.create_time() - note["started"]) <= 1
    return note.get("boot") == _boot() and abs(_uptime(process) - note["uptime"]) <= 1


def _boot() -> str | None:
    """Linux's identity of the present boot; None on other systems."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else None


def _uptime(process: psutil.Process) -> float:
    """Seconds from boot to the start of the process. The start as a time of day changes when the clock is set."""
    return float(process.create_time() - psutil.boot_time())
