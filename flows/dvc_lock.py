"""Handle other DVC processes in a workspace: name them, wait for them, and ignore locks of dead ones."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flows.conflicts import refuse_conflicts
from tasks.core.errors import TunesmithError

Tell = Callable[[str], None]

_BUSY = ("is busy, it is being blocked by", "Unable to acquire lock", "Unable to read RWLock-file")
_DVC_LIKE = ("python", "dvc", "tunesmith")
_QUIET_S = 5


@dataclass(frozen=True)
class Holder:
    """A living process that DVC's locks name, and its command line."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} (`{self.command}`)"


def is_busy(lines: Iterable[str]) -> bool:
    """Whether DVC's output reports that another process holds a lock that it needs."""
    return any(line.startswith("ERROR") and sign in line for line in lines for sign in _BUSY)


def holders(root: Path) -> list[Holder]:
    """The other living processes that hold DVC's locks in the workspace ``root``.

    DVC's file ``rwlock`` names the processes that read or write files, and ``lock`` the one that changes ``dvc.lock``.
    """
    entries = _entries(_read(root / ".dvc/tmp/rwlock") or {})
    alive = {entry["pid"]: entry["cmd"] for entry in entries if not _is_gone(entry, root)}
    changing = _locked_by(root / ".dvc/tmp/lock")
    if changing is not None and changing not in alive:
        with suppress(psutil.Error):
            alive[changing] = " ".join(psutil.Process(changing).cmdline())
    alive.pop(os.getpid(), None)
    return [Holder(pid, command) for pid, command in sorted(alive.items())]


def _locked_by(lock: Path) -> int | None:
    """The pid of the process that holds the lock file now; a pid in the file alone may be left from a released lock."""
    try:
        with lock.open("rb") as file:
            number = file.read().strip()
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(number) if number.isdigit() else None
    return None


def forget_dead(root: Path) -> None:
    """Remove from DVC's ``rwlock`` the entries of processes that are gone.

    DVC itself takes a zombie process, or a new process with the same pid, for the holder. A file that a killed process
    left half-written is emptied, since DVC could not read it.
    """
    from dvc.config import Config
    from dvc.lock import make_lock

    path = root / ".dvc/tmp/rwlock"
    if not path.exists() or not _has_dead(_read(path), root):
        return
    linked = bool(Config(str(root / ".dvc"))["core"].get("hardlink_lock", False))
    with make_lock(str(path.with_suffix(".lock")), tmp_dir=str(path.parent), hardlink_lock=linked):
        held = _read(path)  # under this lock nobody writes the file
        if not _has_dead(held, root):
            return
        temporary = path.with_name(f"rwlock.{os.getpid()}")
        temporary.write_text(json.dumps(_living(held or {}, root)))
        temporary.replace(path)


def wait_for_others(root: Path, tell: Tell, stopped: Callable[[], bool] = lambda: False) -> None:
    """Wait until the processes that hold DVC's locks have ended, or have held no lock for some seconds.

    Ctrl-C ends the wait; outside the main thread, ``stopped`` ends it by returning True.
    """
    forget_dead(root)
    named: set[int] = set()
    quiet_since = time.monotonic()
    while not stopped():
        now = holders(root)
        for holder in now:
            if holder.pid not in named:
                tell(f"{holder} works in this workspace; waiting for it to end")
        named |= {holder.pid for holder in now}
        if now:
            quiet_since = time.monotonic()
        elif not any(map(psutil.pid_exists, named)) or time.monotonic() - quiet_since > _QUIET_S:
            return
        time.sleep(0.5)


def run_dvc(root: Path, arguments: list[str], tell: Tell) -> subprocess.CompletedProcess[str]:
    """Run ``dvc``; while other processes hold its locks, name them and wait. ``stdout`` also holds the errors.

    Raises:
        TunesmithError: a file that DVC reads holds the marks of a merge conflict.
    """
    refuse_conflicts(root)
    while True:
        forget_dead(root)
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0 or not is_busy(done.stdout.splitlines()):
            return done
        wait_for_others(root, tell)


def busy_error(root: Path) -> TunesmithError:
    """The error of a command that does not wait; it names the processes that work in the workspace."""
    named = ", ".join(map(str, holders(root))) or "another process"
    return TunesmithError(f"{named} works in this workspace; run this again when it has ended")


def _read(path: Path) -> dict[str, Any] | None:
    """DVC's ``{"write": {path: entry}, "read": {path: [entry, …]}}``; None if the file is damaged."""
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    return held if isinstance(held, dict) else None


def _entries(held: dict[str, Any]) -> list[dict[str, Any]]:
    read = [entry for entries in held.get("read", {}).values() for entry in entries]
    return [*held.get("write", {}).values(), *read]


def _has_dead(held: dict[str, Any] | None, root: Path) -> bool:
    return held is None or any(_is_gone(entry, root) for entry in _entries(held))


def _living(held: dict[str, Any], root: Path) -> dict[str, Any]:
    write = {path: entry for path, entry in held.get("write", {}).items() if not _is_gone(entry, root)}
    read = {
        path: [entry for entry in entries if not _is_gone(entry, root)]
        for path, entries in held.get("read", {}).items()
    }
    return {"write": write, "read": {path: entries for path, entries in read.items() if entries}}


def _is_gone(entry: dict[str, Any], root: Path) -> bool:
    """Whether the process of the entry is gone: its pid is free, or belongs to a zombie or an unrelated process."""
    if entry["pid"] == os.getpid():
        return bool(entry["cmd"] != " ".join(sys.argv))
    try:
        process = psutil.Process(entry["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        command = " ".join(process.cmdline())
        written = (root / ".dvc/tmp/rwlock").stat().st_mtime
        return process.create_time() > written + 1 or not any(word in command for word in _DVC_LIKE)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return True
    except psutil.AccessDenied:
        return False
