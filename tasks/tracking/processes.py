"""Notes about processes: which one works on a run, and whether it has ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """The note of this process: ``pid``, ``started`` (unix seconds) and ``host``."""
    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}


def is_here(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note ran on this machine; only then can it be looked up."""
    return bool(note["host"] == socket.gethostname())


def is_gone(note: Mapping[str, Any]) -> bool:
    """Whether the process of a note has ended. A process on another machine cannot be checked and counts as running."""
    if not is_here(note):
        return False
    try:
        process = psutil.Process(note["pid"])
        return abs(process.create_time() - note["started"]) > 1 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
