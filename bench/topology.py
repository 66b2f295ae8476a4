"""Four experiments are trained by two workers in other clones; one of them is killed in the middle.

    python -m bench.topology --folder /tmp/topology

There are the workspace (``tests/boxes.py``, a tiny model), a Prefect server, the worker of the workspace, and two
clones with a worker each. DVC's remote is a folder. The script asserts that every experiment is built once to its end,
that its results are in the workspace, and that nothing is left to run; the last line is ``done``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from flows.ui import free_port
from tasks.core import files
from tasks.core.paths import Paths
from tests.boxes import build, experiment, training
from tests.workspaces import ROOT, commit, dvc, edit, environment

NAMES = ("weak", "second", "third", "fourth")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder.resolve()
    root, clones = folder / "workspace", [folder / "clone-1", folder / "clone-2"]
    lay_out(root, clones, folder / "remote")
    port = free_port(4480)
    api = f"http://127.0.0.1:{port}/api"
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(start(root, api, "ui", "--only", "prefect", "--prefect-port", str(port)))
        wait_for(lambda: answers(f"{api}/health"), 240, "Prefect's server")
        call(root, api, "deploy")
        started.append(start(root, api, "worker"))
        workers = [start(clone, api, "worker", "--pool", "tunesmith-clones", "--limit", "1") for clone in clones]
        started += workers
        run = post(f"{api}/deployments/name/retrain/retrain", None)
        since = time.monotonic()
        body = {"parameters": {"workers": True}, "state": {"type": "SCHEDULED"}}
        run_id = post(f"{api}/deployments/{run['id']}/create_flow_run", body)["id"]
        wait_for(lambda: any((clone / "checkpoints").exists() for clone in clones), 600, "a training in a clone")
        victim = next(number for number, clone in enumerate(clones) if (clone / "checkpoints").exists())
        kill(workers[victim])
        tell(since, f"killed the worker of clone-{victim + 1} and its processes")
        wait_for(lambda: state(api, run_id)["type"] in ("COMPLETED", "FAILED", "CRASHED"), 1500, "the end of the flow")
        tell(since, f"{state(api, run_id)['name']}: {state(api, run_id)['message']}")
        check(root, api, run_id)
    finally:
        for process in reversed(started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(90)
    print("done")


def lay_out(root: Path, clones: list[Path], remote: Path) -> None:
    """The workspace with four experiments, and clones of it."""
    build(root, "tiny")
    shutil.copytree(ROOT / "infra", root / "infra")
    seeds = {name: experiment("tiny", training("tiny", "weak"), seed=seed) for seed, name in enumerate(NAMES)}
    edit(root, "experiments", lambda p: p["experiments"].update(seeds))
    dvc(root, "remote", "add", "--default", "shared", str(remote))
    commit(root)
    for clone in clones:
        subprocess.run(["git", "clone", "--quiet", root, clone], check=True)
        shutil.copytree(root / "base", clone / "base")  # a local base model is in neither git nor DVC


def check(root: Path, api: str, run_id: str) -> None:
    """Every experiment was built once to the end, and the workspace holds the results."""
    assert state(api, run_id)["type"] == "COMPLETED"
    builds = [one for one in post(f"{api}/flow_runs/filter", {}) if one["name"].startswith("build ")]
    for name in NAMES:
        ends = sorted(one["state"]["type"] for one in builds if one["name"] == f"build {name}")
        print(f"build {name}: {', '.join(ends)}")
        assert ends.count("COMPLETED") == 1, name
        assert (Paths(root).model(name) / "manifest.json").exists()
    assert sum(one["state"]["type"] == "CRASHED" for one in builds) == 1
    weights = {files.read_json(Paths(root).model(name) / "manifest.json")["weights_sha256"] for name in NAMES}
    assert len(weights) == len(NAMES), "four seeds give four models"
    assert dvc(root, "status", "--json").stdout.strip() == "{}"


def tell(since: float, text: str) -> None:
    print(f"{time.monotonic() - since:.0f} s: {text}", flush=True)


def kill(worker: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(worker.pid)
    for one in [process, *process.children(recursive=True)]:
        one.kill()


def start(root: Path, api: str, *arguments: str) -> subprocess.Popen[bytes]:
    with (root.parent / f"{root.name}-{arguments[0]}.log").open("wb") as log:
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.Popen(
            command, cwd=root, env=variables(root, api), stdout=log, stderr=log, start_new_session=True
        )


def call(root: Path, api: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "flows.cli", *arguments], cwd=root, env=variables(root, api), check=True)


def variables(root: Path, api: str) -> dict[str, str]:
    own = {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(root / ".tunesmith/prefect"), "PREFECT_API_URL": api}
    return environment(root) | own | {"OMP_NUM_THREADS": "1"}


def state(api: str, run_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run_id}").raise_for_status().json()["state"]
    return answer


def post(url: str, body: dict[str, Any] | None) -> Any:
    """POST ``body``; GET without one."""
    answer = httpx.get(url) if body is None else httpx.post(url, json=body)
    return answer.raise_for_status().json()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(1)


if __name__ == "__main__":
    main()
