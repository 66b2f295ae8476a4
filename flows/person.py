"""The name of the person who decides, for the registry and the ledger."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from tasks.core import git

VARIABLE = "TUNESMITH_USER"


def person_name(root: Path) -> str:
    """``TUNESMITH_USER``, else the name and address in git's configuration, else the user of the system."""
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    name, address = (
        git.output(root, "config", key).decode(errors="replace").strip() for key in ("user.name", "user.email")
    )
    if name:
        return f"{name} <{address}>" if address else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return f"user {os.getuid()}"
