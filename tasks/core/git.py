"""Run git in a workspace, which may lie outside a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tasks.core.errors import TunesmithError


def output(root: Path, *arguments: str) -> bytes:
    """The output of git, byte by byte; empty if it fails, such as outside a repository."""
    ended = _run(root, *arguments)
    return ended.stdout if ended.returncode == 0 else b""


def text(root: Path, *arguments: str) -> str:
    """``output`` as text. Bytes that are not UTF-8, such as those of a file's name, survive in it."""
    return output(root, *arguments).decode("utf-8", errors="surrogateescape")


def run(root: Path, *arguments: str) -> bytes:
    """The output of git, byte by byte.

    Raises:
        TunesmithError: git fails.
    """
    ended = _run(root, *arguments)
    if ended.returncode:
        reason = " ".join(ended.stderr.decode(errors="replace").split())
        raise TunesmithError(f"{root}: `git {arguments[0]}` failed: {reason}")
    return ended.stdout


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, check=False)
    except OSError as error:  # git is not installed, or the folder cannot be entered
        return subprocess.CompletedProcess(command, 127, b"", str(error).encode())
