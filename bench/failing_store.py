"""Let an S3-compatible store answer 500 for a minute in the middle of a retrain, and check that nothing is lost.

    python -m bench.failing_store --folder /tmp/failing-store [--seconds 60]

The servers of a team run as processes (``tests/flows/team.py``), with a proxy before the store. A workspace with a tiny
model lets a worker in a clone train. Each run of the flow ``retrain`` has another seed. The first run has no fault. In
each later run, the first request of one kind in ``TRIGGERS`` starts an outage: the proxy answers every request with 500
for ``--seconds``. Each run must complete by its own retries, leave nothing stale, and have one finished MLflow run with
artifacts. A table is printed; the last line counts the failures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import httpx
from mlflow import MlflowClient

from tasks.core import files
from tasks.core.params import read_yaml, write_yaml
from tasks.core.paths import Paths
from tasks.tracking.tag_names import WEIGHTS
from tests.boxes import build
from tests.flows.servers import end_group, server_environment, tunesmith, wait_until
from tests.flows.team import team
from tests.workspaces import ROOT, commit, dvc, edit

TRIGGERS = (("PUT", "/dvc/"), ("GET", "/dvc/"), ("PUT", "/mlflow/"))
"""Method and start of the path: an upload to DVC's remote, a download from it, and an upload of MLflow's server."""

_ERROR = b"<Error><Code>InternalError</Code><Message>for a minute</Message></Error>"
_OF_CONNECTION = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Faults:
    """Which requests the proxy answers with 500."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.refused = seconds, 0
        self._trigger: tuple[str, str] | None = None
        self._until = 0.0
        self._lock = Lock()

    def arm(self, trigger: tuple[str, str]) -> None:
        """Wait for the first request of this kind."""
        with self._lock:
            self._trigger, self._until, self.refused = trigger, 0.0, 0

    def refuses(self, method: str, path: str) -> bool:
        """Whether this request fails."""
        with self._lock:
            if self._trigger and method == self._trigger[0] and path.startswith(self._trigger[1]):
                self._trigger, self._until = None, time.monotonic() + self.seconds
            failing = time.monotonic() < self._until
            self.refused += failing
            return failing


@contextmanager
def proxy(faults: Faults, store: str) -> Iterator[str]:
    """A proxy before ``store``; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if faults.refuses(self.command, self.path):
                self._answer(500, {}, _ERROR)
                return
            # The host stays that of the proxy, since the client has signed it.
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
            request = client.build_request(self.command, store + self.path, headers=headers, content=body)
            answer = client.send(request, stream=True)
            content = b"".join(answer.iter_raw())
            answer.close()
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_CONNECTION}
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else None
            self._answer(answer.status_code, passed, content, length)

        def _answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    for method in ("GET", "PUT", "POST", "HEAD", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._pass)
    with httpx.Client(timeout=120) as client:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True)
    root, clone, faults = folder / "workspace", folder / "clone", Faults(arguments.seconds)
    with ExitStack() as running:
        servers = running.enter_context(team(folder, partial(proxy, faults)))
        os.environ.update(servers.variables())
        _lay_out(root, servers.store)
        tunesmith(root, "deploy")
        running.enter_context(_worker(root, "tunesmith"))
        print("| request | answered 500 | state | s | lost |")
        print("| --- | ---: | --- | ---: | --- |")
        failures = 0
        for seed, trigger in enumerate((None, *TRIGGERS), start=1):
            edit(root, "experiments", lambda p, seed=seed: p["experiments"]["weak"].update(seed=seed))
            subprocess.run(["git", "commit", "--quiet", "--all", "--message", f"seed {seed}"], cwd=root, check=True)
            files.remove(clone)
            subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
            shutil.copytree(root / "base", clone / "base")
            if trigger:
                faults.arm(trigger)
            with _worker(clone, "tunesmith-clones"):
                start = time.monotonic()
                run = _run(servers.prefect)
                seconds = time.monotonic() - start
            lost = _lost(root, servers.mlflow) if run["type"] == "COMPLETED" else [str(run["message"])]
            if trigger and not faults.refused:
                lost.append(f"no {trigger[0]} request to {trigger[1]} arrived")
            failures += bool(lost)
            name = " ".join(trigger) if trigger else "none"
            print(f"| {name} | {faults.refused} | {run['type']} | {seconds:.0f} | {'; '.join(lost)} |", flush=True)
    print(f"{failures} failures")
    sys.exit(failures > 0)


def _lay_out(root: Path, store: str) -> None:
    build(root, "tiny")
    shutil.copytree(ROOT / "infra", root / "infra")
    deployments = read_yaml(root / "infra/prefect.yaml")
    for one in deployments["deployments"]:
        one["schedules"] = []
        if one["name"] == "retrain":
            one["parameters"] = {"workers": True}
    write_yaml(root / "infra/prefect.yaml", deployments)
    dvc(root, "remote", "add", "--default", "shared", "s3://dvc/store")
    dvc(root, "remote", "modify", "shared", "endpointurl", store)
    commit(root)


@contextmanager
def _worker(root: Path, pool: str) -> Iterator[None]:
    command = [sys.executable, "-m", "flows.cli", "worker", "--pool", pool]
    with root.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=server_environment(root) | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        end_group(process)


def _run(api: str) -> dict[str, Any]:
    """Start a run of ``retrain``; its last state."""
    deployment = httpx.get(f"{api}/deployments/name/retrain/retrain").raise_for_status().json()["id"]
    body = {"state": {"type": "SCHEDULED"}}
    run = httpx.post(f"{api}/deployments/{deployment}/create_flow_run", json=body).raise_for_status().json()["id"]

    def ended() -> dict[str, Any] | None:
        state: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run}", timeout=60).raise_for_status().json()["state"]
        return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    state: dict[str, Any] = wait_until(ended, 1200, "the run to end")
    return state


def _lost(root: Path, mlflow: str) -> list[str]:
    """What the run should have left, and has not."""
    lost = []
    if (stale := dvc(root, "status", "--json").stdout.strip()) != "{}":
        lost.append(f"stale: {stale}")
    client = MlflowClient(mlflow)
    experiment = client.get_experiment_by_name("tunesmith")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    weights = files.read_json(Paths(root).model("weak") / "manifest.json")["weights_sha256"]
    own = [run for run in runs if run.data.tags.get(WEIGHTS) == weights]
    if [run.info.status for run in own] != ["FINISHED"]:
        lost.append(f"MLflow runs of the model: {[run.info.status for run in own]}")
    elif not client.list_artifacts(own[0].info.run_id):
        lost.append("the MLflow run has no artifacts")
    return lost


if __name__ == "__main__":
    main()
