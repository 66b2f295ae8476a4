"""``tunesmith ui``: the Prefect UI and the MLflow UI on localhost."""

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

from flows.workspace import answers
from tasks.errors import TunesmithError
from tasks.paths import Paths
from tasks.tracking.client import open_store, tracking_uri

_PATIENCE_S = 120


def free_port(port: int) -> int:
    """``port``, or the next one that nothing listens on."""
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
) -> None:
    """Start the pages, print their addresses once they answer, and wait for Ctrl-C; each step goes to ``progress``.

    Raises:
        TunesmithError: an unknown page, no free port, or a server that does not come up (with its last words).
    """
    if only not in (None, "prefect", "mlflow"):
        raise TunesmithError(f"ui: --only must be prefect or mlflow; it is {only!r}")
    prefect = f"http://127.0.0.1:{free_port(prefect_port)}"
    mlflow = f"http://127.0.0.1:{free_port(mlflow_port)}"
    uri = tracking_uri(root)
    if uri.startswith(("http://", "https://")):
        mlflow = uri
    state = Paths(root).state
    state.mkdir(parents=True, exist_ok=True)
    servers: dict[str, subprocess.Popen[bytes]] = {}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the servers end with this process either way
    progress("starting; this takes up to a minute, on a busy machine longer")
    experiment = ""
    note = state / "ui.json"
    try:
        if only != "mlflow":
            progress("starting the Prefect server")
            servers["Prefect"] = _start_prefect(root, prefect, state)
        if only != "prefect" and mlflow != uri:
            progress("opening the tracking store and starting the MLflow server")
            experiment = f"/#/experiments/{open_store(root).experiment_id}/runs"
            servers["MLflow"] = _start_mlflow(root, mlflow, uri, state)
        health = {"Prefect": f"{prefect}/api/health", "MLflow": f"{mlflow}/health"}
        for name, server in servers.items():
            progress(f"waiting for {name} to answer")
            _wait(name, server, health[name], state)
        if "Prefect" in servers:
            note.write_text(json.dumps({"prefect_api": f"{prefect}/api", "mlflow": mlflow}))
            say(f"Prefect UI  {prefect}/runs")
        if only != "prefect":
            say(f"MLflow UI   {mlflow}{experiment}")
        say("Ctrl-C ends the pages; runs and scores stay")
        while all(server.poll() is None for server in servers.values()):
            time.sleep(0.5)
    finally:
        if "Prefect" in servers:
            note.unlink(missing_ok=True)
        for server in servers.values():
            _end(server)


def _start_prefect(root: Path, address: str, state: Path) -> subprocess.Popen[bytes]:
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
    # Without this the page would ask the address that the user's profile names.
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PREFECT_UI_API_URL": f"{address}/api"}
    return _start(command, root, env, state / "ui-prefect.log")


def _start_mlflow(root: Path, address: str, uri: str, state: Path) -> subprocess.Popen[bytes]:
    port = address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--port", port, "--workers", "1"]
    return _start(command, root, dict(os.environ), state / "ui-mlflow.log")


def _start(command: list[str], root: Path, env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(command, cwd=root, env=env, stdout=file, stderr=file, start_new_session=True)


def _wait(name: str, server: subprocess.Popen[bytes], url: str, state: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not answers(url):
        if server.poll() is not None or time.monotonic() > until:
            log = state / f"ui-{name.lower()}.log"
            said = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"[A-Za-z]{2}", line)]
            last = said[-1].strip(" │") if said else "it said nothing"
            raise TunesmithError(f"ui: the {name} server did not come up ({last}); its log is {log}")
        time.sleep(0.3)


def _end(server: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if server.poll() is not None:
            break
        os.killpg(server.pid, number)
        try:
            server.wait(patience)
        except subprocess.TimeoutExpired:
            continue
