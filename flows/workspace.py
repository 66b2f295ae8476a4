"""The workspace of a flow: its environment, its lock, and leases of processors."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.core.paths import Paths

ROOT_VARIABLE = "TUNESMITH_ROOT"


def find_root() -> Path:
    """The workspace: ``TUNESMITH_ROOT``, or the nearest folder upwards that has ``dvc.yaml`` and ``params/``.

    Raises:
        TunesmithError: there is none.
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
    """Environment of Prefect and of all subprocesses. Must be called before Prefect is imported.

    Prefect's database lies in the workspace, unless PREFECT_HOME or PREFECT_API_URL say otherwise. While
    ``tunesmith ui`` runs here, its server is used, so that runs appear in it as they happen.
    """
    os.environ[ROOT_VARIABLE] = str(root)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = Path(os.environ.setdefault("PREFECT_HOME", str(Paths(root).state / "prefect")))
    home.mkdir(parents=True, exist_ok=True)  # Prefect makes the last folder only, and not its parents
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # A server of its own starts in 10 to 30 s here, more on a busy machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
    if "PREFECT_API_URL" not in os.environ and (url := running_prefect(root)):
        os.environ["PREFECT_API_URL"] = url


def refuse_silent_prefect() -> None:
    """Raises TunesmithError when PREFECT_API_URL is set and nothing answers there."""
    url = os.environ.get("PREFECT_API_URL")
    if url and not answers(f"{url.rstrip('/')}/health"):
        raise TunesmithError(
            f"PREFECT_API_URL: the Prefect server at {url} must answer; it does not; start it or unset the variable"
        )


def start_own_prefect() -> None:
    """Start the server that Prefect would start for a flow by itself, so that Ctrl-C does not reach it.

    A terminal sends that to all processes of its group; without the server, which ends first, the flow retries for
    minutes to report how it ended. Nothing is started where ``PREFECT_API_URL`` names one.
    """
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_EPHEMERAL_ENABLED

    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child inherits it
    try:
        SubprocessASGIServer().start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_without_prefect(error: Exception) -> NoReturn:
    """End this process at once, with one line: the Prefect server that it reported to is gone.

    On the normal way out Prefect's threads go on trying to reach the server for minutes.
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
    except (FileNotFoundError, ValueError):  # ValueError: killed while it was written
        return None
    return url if answers(f"{url}/health") else None


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@contextmanager
def workspace_lock(root: Path, holder: str, logger: Any = None) -> Iterator[None]:
    """One flow or command that changes the workspace at a time: a second one waits and names the holder."""
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


def gpus() -> list[str]:
    """Ids of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [part for part in visible.split(",") if part.strip() not in {"", "-1"}]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return re.findall(r"^GPU (\d+):", listed.stdout, flags=re.MULTILINE)  # MIG parts are listed indented


def slots(root: Path) -> list[str]:
    """What trainings, predictions and benchmarks lease: each GPU, or the processor shares that ``threads`` allows.

    More at once than cores would change no number (threads are a parameter) but slow all of them down.
    """
    if ids := gpus():
        return [f"gpu{gpu}" for gpu in ids]
    threads = read_yaml(Paths(root).params / "training.yaml").get("defaults", {}).get("threads", 2)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [f"cpu{share}" for share in range(max(1, cores // max(1, int(threads))))]


@contextmanager
def lease(root: Path, gpus_wanted: int = 1, on_wait: Callable[[], None] = lambda: None) -> Iterator[dict[str, str]]:
    """Hold one slot, or so many GPUs; yields the environment variables that bind a subprocess to them.

    ``on_wait`` is called once when others hold them. With fewer GPUs than wanted, all are held: the training itself
    reports what is missing.
    """
    folder = Paths(root).state / "leases"
    folder.mkdir(parents=True, exist_ok=True)
    known = slots(root)
    wanted = min(gpus_wanted, len(known)) if known[0].startswith("gpu") else 1
    held = _take(folder, known, wanted)
    if len(held) < wanted:
        on_wait()
    while len(held) < wanted:
        time.sleep(0.5)
        held = _take(folder, known, wanted)
    try:
        ids = [slot.removeprefix("gpu") for slot in held if slot.startswith("gpu")]
        yield {"CUDA_VISIBLE_DEVICES": ",".join(ids), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if ids else {}
    finally:
        for lock in held.values():
            lock.release()


def _take(folder: Path, known: list[str], wanted: int) -> dict[str, FileLock]:
    """Locks of ``wanted`` free slots, or none: two that each held some would wait for each other for ever."""
    held: dict[str, FileLock] = {}
    for slot in known:
        lock = FileLock(folder / slot)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        held[slot] = lock
        if len(held) == wanted:
            return held
    for lock in held.values():
        lock.release()
    return {}
