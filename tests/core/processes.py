"""A process that has ended."""

from __future__ import annotations

import subprocess
import sys


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
