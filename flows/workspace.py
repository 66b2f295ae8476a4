"""The workspace of a flow: its environment variables, its Prefect server and its lock."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from dotenv import load_dotenv
from filelock import FileLock, Timeout

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

ROOT_VARIABLE = "TUNESMITH_ROOT"


def find_root() -> Path:
    """Find the workspace: the first folder with ``dvc.yaml`` and ``params/``, from ``TUNESMITH_ROOT`` or here upwards.

    Raises:
        TunesmithError: there is no such folder.
    """
    given = os.environ.get(ROOT_VARIABLE)
    here = Path(given) if given else Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params").is_dir():
            return folder.resolve()
    raise TunesmithError(
        f"{here}: not inside a Tunesmith workspace (a folder with dvc.yaml and params/); change to one"
    )


def prepare_environment(root: Path) -> None:
    """Set the environment variables of Prefect and of all subprocesses, also those of ``.env`` in the workspace.

    Call it before Prefect is imported.

    Prefect's database is in the workspace, unless PREFECT_HOME or PREFECT_API_URL is set. While ``tunesmith ui`` runs
    for this workspace, its server is used, so that the UI shows runs as they happen.
    """
    load_dotenv(root / ".env")  # a variable that is set already keeps its value
    os.environ[ROOT_VARIABLE] = str(root)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = Path(os.environ.setdefault("PREFECT_HOME", str(Paths(root).state / "prefect")))
    home.mkdir(parents=True, exist_ok=True)  # Prefect creates only the last folder, not its parents
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # Prefect's own server starts in 10 to 30 s, and more slowly on a busy machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")  # infra/automations.yaml waits for them
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    if "PREFECT_API_URL" not in os.environ and (url := running_prefect(root)):
        os.environ["PREFECT_API_URL"] = url


def refuse_silent_prefect() -> None:
    """Raise TunesmithError if PREFECT_API_URL is set and no server answers there."""
    url = os.environ.get("PREFECT_API_URL")
    if url and not answers(f"{url.rstrip('/')}/health"):
        raise TunesmithError(
            f"PREFECT_API_URL: the Prefect server at {url} must answer; it does not; start it or unset the variable"
        )


def start_own_prefect() -> None:
    """Start the temporary server that Prefect would start for a flow, but out of reach of Ctrl-C.

    On Ctrl-C a terminal interrupts all processes of its group. If the server ended first, the flow would try for
    minutes to report its own end. Nothing is started if ``PREFECT_API_URL`` names a server.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED

    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the server inherits the blocked signal
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_without_prefect(error: Exception) -> NoReturn:
    """End this process at once with a one-line error, since its Prefect server is gone.

    A normal exit would wait for minutes, while Prefect's threads go on trying to reach the server.
    """
    reason = " ".join(str(error).split()) or type(error).__name__
    sys.stderr.write(
        f"error: the Prefect server ended or does not answer any more ({reason}); what was finished stays; run again\n"
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def running_prefect(root: Path) -> str | None:
    """API address of the Prefect server that ``tunesmith ui`` started for this workspace, if it answers."""
    path = Paths(root).state / "ui.json"
    try:
        url = str(json.loads(path.read_text())["prefect_api"])
    except (FileNotFoundError, ValueError):  # ValueError: a process was killed while it wrote the file
        return None
    return url if answers(f"{url}/health") else None


def answers(url: str) -> bool:
    """Whether ``url`` answers with HTTP status 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@contextmanager
def workspace_lock(root: Path, holder: str, logger: Any = None) -> Iterator[None]:
    """Let one flow or command at a time change the workspace; a second one waits and names the holder."""
    logger = logger or logging.getLogger("tunesmith")
    path = Paths(root).state / "locks" / "workspace"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, note = FileLock(path), path.with_suffix(".json")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("another flow or command works in this workspace (%s); waiting for it to end", _holder(note))
        lock.acquire()
    try:
        note.write_text(json.dumps({"holder": holder, "pid": os.getpid(), "since": time.strftime("%F %T")}))
        yield
    finally:
        lock.release()


def _holder(note: Path) -> str:
    try:
        holder = json.loads(note.read_text())
    except (OSError, ValueError):
        return "unknown"
    return f"{holder['holder']}, process {holder['pid']}, since {holder['since']}"
