"""Start Prefect's worker in a workspace."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from flows import served
from flows.subprocesses import end_group
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError


def work(root: Path, pool: str, limit: int | None, say: Callable[[str], None]) -> None:
    """Poll the work pool, and run its flow runs in this workspace, until it is interrupted.

    Args:
        limit: maximum number of concurrent flow runs; None means no limit.

    Raises:
        TunesmithError: no server answers, it lacks the pool, ``tunesmith`` belongs to another clone, or the worker
            ended by itself.
    """
    _refuse_other_clone(root)
    if served.api_url() is None:
        raise TunesmithError(
            "worker: a Prefect server must run, and none does for this workspace; start one with `make ui`, or set "
            "PREFECT_API_URL"
        )
    kind = _pool_type(pool)
    if missed := served.drop_missed_of_pool(pool):
        say(f"{counted(missed, 'run')} fell due while no worker polled the pool {pool}; they are dropped")
    name = worker_name(root)
    say(f"worker {name!r} starts the runs of the work pool {pool} in {root}; Ctrl-C ends it and its runs")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--type", kind, "--name", name]
    command += [] if limit is None else ["--limit", str(limit)]
    process = subprocess.Popen(command, cwd=root, start_new_session=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = process.wait()
    finally:
        _end(process)
    raise TunesmithError(
        f"worker: Prefect's worker must run until Ctrl-C; it ended with exit code {code}; read the log above, "
        "then run `tunesmith worker` again"
    )


def worker_name(root: Path) -> str:
    """Name of the worker of a workspace: the machine and the folder, without the signs that Prefect refuses."""
    return f"{socket.gethostname()} {root}".replace("/", "-").replace("%", "-")


def _refuse_other_clone(root: Path) -> None:
    """A worker runs the code of its own clone, so that a recorded commit is that of the code."""
    own = root / "flows"
    running = Path(__file__).resolve().parents[1]
    if own.is_dir() and own.resolve() != running:
        raise TunesmithError(
            f"worker: `tunesmith` must belong to the workspace {root}; this one belongs to {running.parent}; run "
            f"`make .venv/.ready` in {root}, then `.venv/bin/tunesmith worker`"
        )


def _pool_type(pool: str) -> str:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            return client.read_work_pool(pool).type
        except ObjectNotFound:
            names = ", ".join(one.name for one in client.read_work_pools())
            raise TunesmithError(
                f"worker: --pool {pool}: the Prefect server has no such work pool; there are: {names or 'none'}; "
                "`tunesmith deploy` creates those of infra/work-pools.yaml"
            ) from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the worker and its flow runs, each of which stops its stages; another Ctrl-C does not interrupt this."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    end_group(process, ((signal.SIGINT, 60), (signal.SIGTERM, 15), (signal.SIGKILL, 5)))
