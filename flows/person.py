"""The name of the person who decides, for the registry and the ledger."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

VARIABLE = "TUNESMITH_USER"


def person_name(root: Path) -> str:
    """``TUNESMITH_USER``, else the name and address in git's configuration, else the user of the system."""
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    name, address = (_git(root, key) for key in ("user.name", "user.email"))
    if name:
        return f"{name} <{address}>" if address else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return f"user {os.getuid()}"


def _git(root: Path, key: str) -> str:
    ended = subprocess.run(["git", "config", key], cwd=root, capture_output=True, text=True, check=False)
    return ended.stdout.strip()
