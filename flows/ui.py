"""``tunesmith ui``: serve the Prefect UI and the MLflow UI on localhost."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows.crashed import close_crashed
from flows.server_logs import LogReader, log_of
from flows.subprocesses import end_groups
from flows.workspace import answers
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.paths import Paths, tracking_uri
from tasks.tracking.client import open_store
from tasks.tracking.views import runs_page

_PATIENCE_S = 120


def free_port(port: int) -> int:
    """Return ``port``, or the next higher port on which nothing listens."""
    for candidate in range(port, port + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    raise TunesmithError(
        f"ui: no free port from {port} to {port + 49}; choose another with --prefect-port, --mlflow-port"
    )


def serve_pages(
    root: Path,
    only: str | None,
    prefect_port: int,
    mlflow_port: int,
    say: Callable[[str], None],
    progress: Callable[[str], None],
    warn: Callable[[str], None],
) -> None:
    """Start the pages, print their addresses once they answer, and wait for Ctrl-C.

    Args:
        only: ``prefect`` or ``mlflow``; None starts both.
        say: prints the addresses.
        progress: prints each step.
        warn: prints each service of a server that fails.

    Raises:
        TunesmithError: an unknown page, no free port, or a server that does not start or ends by itself (with the
            last line of its log).
    """
    if only not in (None, "prefect", "mlflow"):
        raise TunesmithError(f"ui: --only must be prefect or mlflow; it is {only!r}")
    prefect = f"http://127.0.0.1:{free_port(prefect_port)}"
    mlflow = f"http://127.0.0.1:{free_port(mlflow_port)}"
    uri = tracking_uri(root)
    if uri.startswith(("http://", "https://")):
        mlflow = uri
    note = Paths(root).state / "ui.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    servers: dict[str, subprocess.Popen[bytes]] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with this process either way
    progress("starting; this takes up to a minute, on a busy machine longer")
    try:
        lines = []
        if only != "mlflow":
            progress("starting the Prefect server")
            servers["Prefect"] = _start_prefect(root, prefect)
            lines.append(f"Prefect UI  {prefect}/runs")
        if only != "prefect":
            progress("opening the tracking store")
            lines.append(f"MLflow UI   {mlflow}{runs_page(open_store(root).experiment_id)}")
        if only != "prefect" and mlflow != uri:
            progress("starting the MLflow server")
            servers["MLflow"] = _start_mlflow(root, mlflow, uri)
        health = {"Prefect": f"{prefect}/api/health", "MLflow": f"{mlflow}/health"}
        for name, server in servers.items():
            progress(f"waiting for {name} to answer")
            _wait(name, server, health[name], root)
        if "Prefect" in servers:
            with replacing(note) as temporary:
                temporary.write_text(json.dumps({"prefect_api": f"{prefect}/api", "mlflow": mlflow}))
            close_crashed(root, progress, f"{prefect}/api")
        for line in [*lines, "Ctrl-C ends the pages; runs and scores stay"]:
            say(line)
        _watch(root, servers, warn)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C would leave servers behind
            signal.signal(number, signal.SIG_IGN)
        if "Prefect" in servers:
            note.unlink(missing_ok=True)
        end_groups(servers.values(), ((signal.SIGTERM, 15), (signal.SIGKILL, 5)))


def _watch(root: Path, servers: dict[str, subprocess.Popen[bytes]], warn: Callable[[str], None]) -> None:
    """Print each service that fails, as the servers' logs show it, until one of the servers ends.

    Raises:
        TunesmithError: a server ended by itself.
    """
    readers = {name: LogReader(log_of(root, name)) for name in servers}
    while all(server.poll() is None for server in servers.values()):
        for name, reader in readers.items():
            for failure in reader.new():
                warn(failure.line(name, log_of(root, name)))
        time.sleep(0.5)
    for name, server in servers.items():
        if server.poll() is not None:
            log = log_of(root, name)
            raise TunesmithError(
                f"ui: the {name} server ended by itself, with exit code {server.returncode} ({_last_words(log)}); "
                f"its log is {log}; start it again with `make ui`"
            )


def _start_prefect(root: Path, address: str) -> subprocess.Popen[bytes]:
    port = address.rsplit(":", 1)[1]
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]
    # Runs that fell due while no server ran would all be marked `Late` at once; SQLite refuses most of these writes.
    labels = {"PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false"}
    # Without PREFECT_UI_API_URL the page would call the API address in the user's Prefect profile.
    env = labels | {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    env |= {"PREFECT_UI_API_URL": f"{address}/api"}
    return _start(command, root, env, log_of(root, "Prefect"))


def _start_mlflow(root: Path, address: str, uri: str) -> subprocess.Popen[bytes]:
    port = address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", port, "--workers", "1"]
    # MLflow's jobs judge traces, which Tunesmith does not use; eight processes would wait for them.
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | os.environ
    return _start(command, root, env, log_of(root, "MLflow"))


def _start(command: list[str], root: Path, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, cwd=root, env=env, stdout=file, stderr=file, start_new_session=True)


def _wait(name: str, server: subprocess.Popen[bytes], url: str, root: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not answers(url):
        if server.poll() is not None or time.monotonic() > until:
            log = log_of(root, name)
            raise TunesmithError(f"ui: the {name} server did not start ({_last_words(log)}); its log is {log}")
        time.sleep(0.3)


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"[A-Za-z]{2}", line)]
    return lines[-1].strip(" │") if lines else "it printed nothing"
