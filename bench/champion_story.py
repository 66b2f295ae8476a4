"""The whole life of a champion, through the commands and Prefect's API, in a workspace of its own.

    python -m bench.champion_story --model tiny --folder /tmp/story
    python -m bench.champion_story --model embedded --folder /tmp/story

1. Train two experiments; the gate makes the better one the champion.
2. A better challenger awaits approval. A person approves it through Prefect's API, on a server that runs beside, while
   another retrain runs.
3. Roll back, explain the champion, and reproduce it with equal weights.
4. Forget a training row; the next run trains without it.
5. Tune the champion further; the manifest names it as ancestor.

``tests/boxes.py`` describes the task. Each step asserts its outcome; the last line is ``done``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from flows.ui import free_port
from tasks.core import files
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tests.boxes import METHODS, build, experiment, training
from tests.workspaces import ROOT, commit, edit, environment


class Story:
    """The workspace, and the commands that a person types in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths, self.port = root, Paths(root), free_port(4299)
        api = f"http://127.0.0.1:{self.port}/api"
        own = {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(root / ".tunesmith/prefect"), "PREFECT_API_URL": api}
        self.environment = environment(root) | own | {"TUNESMITH_USER": "Ada"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.root.parent / f"{arguments[0]}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *arguments],
                cwd=self.root, env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip

    def tunesmith(self, *arguments: str) -> str:
        """Run a command to its end; return what it printed."""
        print(f"$ tunesmith {' '.join(arguments)}", flush=True)
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
        return ended.stdout

    def gate(self, printed: str) -> None:
        lines = printed.splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith("gate: "))
        print("\n".join(f"  {line}" for line in lines[start : start + 8]), flush=True)

    def champion(self) -> dict[str, int]:
        from tasks.tracking.client import open_store

        return {
            name: int(number)
            for name, number in open_store(self.root).client.get_registered_model("tunesmith").aliases.items()
        }

    def experiments(self, change: Callable[[dict[str, Any]], Any]) -> None:
        edit(self.root, "experiments", lambda p: change(p["experiments"]))
        commit(self.root)


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(1)
    raise AssertionError(f"not within {seconds} s: {what}")


def approve_through_the_api(story: Story) -> None:
    """Resume the paused run of the flow ``approve`` as the form of Prefect's page does."""
    os.environ["PREFECT_API_URL"] = story.environment["PREFECT_API_URL"]
    from prefect.client.orchestration import get_client
    from prefect.flow_runs import resume_flow_run

    def paused() -> Any:
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs()
        return next((run.id for run in runs if run.state is not None and run.state.name == "Paused"), None)

    run_id = wait_for(paused, 180, "the flow approve to pause")
    retrain = story.start("run")
    time.sleep(10)
    resume_flow_run(run_id, run_input={"approve": True, "why": "read all rows", "who": "Ada"})
    wait_for(lambda: story.champion().get("champion") == 2, 900, "the version to become the champion")
    assert retrain.wait(900) == 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=METHODS, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    root = given.folder.resolve() / "workspace"
    build(root, given.model)
    story = Story(root)
    server = story.start("ui", "--only", "prefect", "--prefect-port", str(story.port))
    served = None
    try:
        import requests

        wait_for(lambda: _healthy(requests, story), 240, "Prefect's server")
        story.gate(story.tunesmith("run"))
        assert story.champion() == {"champion": 1}, "weak beats base and the trivial baselines"
        served = story.start("schedule", "--cron", "0 3 1 1 *")
        edit(root, "registration", lambda p: p["registration"].update(approval="manual"))
        strong = training(given.model, "strong")
        story.experiments(lambda p: p.update(strong=experiment(given.model, strong)))
        time.sleep(15)
        story.gate(story.tunesmith("run"))
        assert story.champion() == {"champion": 1, "awaiting-approval": 2}
        approve_through_the_api(story)
        assert story.champion() == {"champion": 2, "previous": 1}
        story.tunesmith("rollback", "--why", "customers complain")
        assert story.champion() == {"champion": 1, "previous": 2}
        story.tunesmith("rollback", "--why", "they do not")
        assert story.champion() == {"champion": 2, "previous": 1}
        print(story.tunesmith("explain"))
        printed = story.tunesmith("reproduce")
        assert "the weights are equal" in printed, printed
        print(printed.splitlines()[-1])
        forgotten = str(pq.read_table(story.paths.split("boxes") / "train.parquet")["row_id"][0].as_py())
        print(story.tunesmith("forget", forgotten, "--why", "deletion request"))
        base = {"base_model": {"name": "models:/tunesmith@champion"}}
        story.experiments(lambda p: p.update(further=experiment(given.model, strong, **base)))
        story.gate(story.tunesmith("run"))
        for name in ("weak", "strong"):
            rows = pq.read_table(story.paths.model(name) / "training_rows.parquet")["row_id"].to_pylist()
            assert forgotten not in rows and len(set(rows)) > 200, name
        manifest = files.read_json(story.paths.model("further") / "manifest.json")
        assert [one["model"] for one in manifest["base_model"]["ancestors"]] == ["models:/tunesmith/2"]
        own = pq.read_table(story.paths.model("further") / "training_rows.parquet").to_pylist()
        assert forgotten in {one["row_id"] for one in own if one["generation"] == 1}
        assert forgotten not in {one["row_id"] for one in own if one["generation"] == 0}
        print(story.tunesmith("explain", "--row", forgotten))
        print(json.dumps(read_yaml(root / "params/bases.yaml")))
        print("done")
    finally:
        for process in (served, server):
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(90)


def _healthy(requests: Any, story: Story) -> bool:
    try:
        return bool(requests.get(f"{story.environment['PREFECT_API_URL']}/health", timeout=5).ok)
    except requests.RequestException:
        return False


if __name__ == "__main__":
    main()
