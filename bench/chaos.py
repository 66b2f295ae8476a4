"""Kill a process of a retrain at random moments, run it again, and check that nothing is lost.

    python -m bench.chaos --folder /tmp/chaos [--points 50] [--seed 0] [--first 0]

A Prefect and an MLflow server, a worker and a tiny model run in a workspace (``tests/boxes.py``). For each point, the
experiment's seed changes, so that its stages are stale, and a run of the flow ``retrain`` starts. At a random moment of
the run a random process gets SIGKILL: the stage, its ``dvc``, the flow, the worker with all its processes, the Prefect
server or the MLflow server. If the run ended before, the point is tried again at an earlier moment. What was killed
beside the flow is started again. Then a second run must complete with the weights and predictions of a run that nobody
killed, with nothing stale, no temporary file and no MLflow run left RUNNING.

The same ``--seed`` gives the same targets, and the same moments in proportion to the length of a run: ``--first N
--points 1`` repeats point N. ``points.jsonl`` in the folder gets a line per point; the last printed line is ``done``.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from mlflow import MlflowClient

from flows.ui import free_port
from tasks.core import files
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tests.boxes import build
from tests.flows.servers import end_group, server_environment, wait_until
from tests.workspaces import ROOT, dvc, edit

TARGETS = ("stage", "dvc", "flow", "worker", "prefect", "mlflow")
SEEDS = (1, 2)
"""Seeds of the experiment, in turn; the weights of each were computed once without a kill."""


@dataclass
class Machines:
    """The processes around the workspace."""

    root: Path
    port: int
    mlflow_port: int
    servers: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def start_servers(self) -> None:
        """Start the servers if they do not run."""
        if self.servers is None or self.servers.poll() is not None:
            (self.root / ".tunesmith/ui.json").unlink(missing_ok=True)
            ports = ("--prefect-port", str(self.port), "--mlflow-port", str(self.mlflow_port))
            self.servers = self._tunesmith("ui", *ports)
            wait_until((self.root / ".tunesmith/ui.json").exists, 300, "the servers")

    def start(self) -> None:
        """Start what does not run."""
        self.start_servers()
        if self.worker is None or self.worker.poll() is not None:
            self.worker = self._tunesmith("worker")

    def wait_for_end_of(self, target: str) -> None:
        """Wait until the command that notices the kill has ended: ``tunesmith ui`` ends with each of its servers."""
        process = {"worker": self.worker, "prefect": self.servers, "mlflow": self.servers}.get(target)
        if process is not None:
            process.wait(60)

    def end(self) -> None:
        for process in (self.worker, self.servers):
            if process is not None:
                end_group(process)

    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.mlflow_port}"
        own = {"PREFECT_API_URL": self.api, "MLFLOW_TRACKING_URI": address, "OMP_NUM_THREADS": "1"}
        return server_environment(self.root) | own

    def _tunesmith(self, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.root.parent / f"{arguments[0]}.log").open("ab")
        variables = self.environment() if arguments[0] != "ui" else server_environment(self.root)
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.Popen(command, cwd=self.root, env=variables, stdout=log, stderr=log, start_new_session=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    root = folder / "workspace"
    if not root.exists():
        build(root, "tiny")
        shutil.copytree(ROOT / "infra", root / "infra")
    offset = 10 * arguments.first  # so that several measurements can run at once
    machines = Machines(root, free_port(4600 + offset), free_port(5800 + offset))
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets its background processes ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        machines.start_servers()
        command = [sys.executable, "-m", "flows.cli", "deploy"]
        subprocess.run(command, cwd=root, env=machines.environment(), check=True, stdout=subprocess.DEVNULL)
        machines.start()
        references = dict(reference(machines) for _ in SEEDS)
        seconds = min(one["seconds"] for one in references.values())  # the first run builds more
        for number in range(arguments.first, arguments.first + arguments.points):
            line = point(machines, number, arguments.seed, references, seconds)
            print(json.dumps(line), flush=True)
            with (folder / "points.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
    finally:
        machines.end()
    print("done")


def reference(machines: Machines) -> tuple[int, dict[str, Any]]:
    """The seed, weights and predictions of a run that nobody kills, and its seconds."""
    seed = stale(machines.root)
    start = time.monotonic()
    run = started(machines)
    assert final(machines, run, 1200) == "COMPLETED", state(machines, run)
    weights = manifest(machines.root)["weights_sha256"]
    return seed, {"weights": weights, "seconds": time.monotonic() - start, "predictions": predictions(machines.root)}


def stale(root: Path) -> int:
    """Give the experiment the other seed, so that its stages are stale and DVC restores none of them; the seed."""
    before = read_yaml(root / "params/experiments.yaml")["experiments"]["weak"].get("seed")
    seed = next(one for one in SEEDS if one != before)
    edit(root, "experiments", lambda p: p["experiments"]["weak"].update(seed=seed))
    files.remove(root / ".dvc/cache/runs")
    files.remove(root / ".cache/dvc/runs")
    return seed


def point(
    machines: Machines, number: int, seed: int, references: dict[int, dict[str, Any]], seconds: float
) -> dict[str, Any]:
    """Kill once, run again and check; ``lost`` lists what is wrong."""
    draw = random.Random(f"{seed}-{number}")
    target, moment = draw.choice(TARGETS), draw.uniform(0, seconds)
    while True:
        trained = stale(machines.root)
        run = started(machines)
        time.sleep(moment)
        running = not is_final(machines, run)
        victim = kill(machines, target, run)
        killed = time.monotonic()
        if running and victim != "none":
            break
        if victim != "none":
            machines.wait_for_end_of(target)
        machines.start()
        final(machines, run, 400)
        moment = draw.uniform(0, moment)
    machines.wait_for_end_of(target)
    machines.start()
    first = final(machines, run, 400)
    marked = time.monotonic() - killed
    again = started(machines)
    second = final(machines, again, 1200)
    lost = problems(machines, references[trained]) if second == "COMPLETED" else [str(state(machines, again))]
    line = {"point": number, "target": target, "at_s": round(moment), "victim": victim, "first": first}
    return line | {"final_after_s": round(marked), "second": second, "lost": lost}


def kill(machines: Machines, target: str, run: str) -> str:
    """SIGKILL the target, once it exists; the command that was killed, or ``none`` if the run ended before."""
    while True:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = process.cmdline()
                if matches(target, words) and belongs(process, machines):
                    if target == "worker":
                        for child in process.children(recursive=True):
                            child.kill()
                    process.kill()
                    return " ".join(words)[-80:]
        if is_final(machines, run):
            return "none"
        time.sleep(0.05)


def matches(target: str, words: list[str]) -> bool:
    line = " ".join(words)
    return {
        "stage": len(words) > 2 and words[1] == "-m" and words[2].startswith("tasks."),
        "dvc": "-m dvc" in line and "repro" in line,
        "flow": "prefect.flow_engine" in line or "prefect.engine" in line,
        "worker": "flows.cli worker" in line,
        "prefect": "prefect server start" in line or "prefect.server.api.server:create_app" in line,
        "mlflow": "mlflow server" in line or "mlflow.server" in line,
    }[target]


def belongs(process: psutil.Process, machines: Machines) -> bool:
    return process.environ().get("TUNESMITH_ROOT") == str(machines.root)


def started(machines: Machines) -> str:
    deployment = call(machines, "GET", "/deployments/name/retrain/retrain")["id"]
    body = {"state": {"type": "SCHEDULED"}}
    return str(call(machines, "POST", f"/deployments/{deployment}/create_flow_run", body)["id"])


def state(machines: Machines, run: str) -> dict[str, Any]:
    answer: dict[str, Any] = call(machines, "GET", f"/flow_runs/{run}")["state"]
    return answer


def final(machines: Machines, run: str, seconds: float) -> str:
    """The final state of a run; the last one if it has none within ``seconds``."""
    end = time.monotonic() + seconds
    while not is_final(machines, run) and time.monotonic() < end:
        time.sleep(1)
    return str(state(machines, run)["type"])


def is_final(machines: Machines, run: str) -> bool:
    return state(machines, run)["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def call(machines: Machines, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """A request to Prefect's API, repeated while the server is busy or starts."""
    end = time.monotonic() + 120
    while True:
        try:
            answer = httpx.request(method, machines.api + path, json=body, timeout=30)
            if answer.status_code < 500:
                return answer.raise_for_status().json()
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, path
        time.sleep(1)


def manifest(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = files.read_json(Paths(root).model("weak") / "manifest.json")
    return content


def predictions(root: Path) -> str:
    return files.digest([files.sha256(path) for path in sorted(Paths(root).predictions("weak").glob("*.parquet"))])


def problems(machines: Machines, expected: dict[str, Any]) -> list[str]:
    """What differs from a run that nobody killed."""
    root, lost = machines.root, []
    if manifest(root)["weights_sha256"] != expected["weights"]:
        lost.append("other weights")
    if predictions(root) != expected["predictions"]:
        lost.append("other predictions")
    if (stale_now := dvc(root, "status", "--json").stdout.strip()) != "{}":
        lost.append(f"stale: {stale_now}")
    if temporary := [str(path) for path in root.rglob(".*.tmp*") if ".dvc" not in path.parts]:
        lost.append(f"temporary files: {temporary}")
    for line in (root / "decisions.jsonl").read_text().splitlines():
        json.loads(line)
    client = MlflowClient(tracking_uri=f"http://127.0.0.1:{machines.mlflow_port}")
    own = client.get_experiment_by_name("tunesmith")
    running = client.search_runs([own.experiment_id], "attributes.status = 'RUNNING'") if own else []
    if running:
        lost.append(f"{len(running)} runs of MLflow that run forever")
    return lost


if __name__ == "__main__":
    main()
