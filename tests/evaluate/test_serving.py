"""The registered model behind MLflow's own server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tasks.core.paths import Paths, tracking_uri
from tasks.tracking.client import VARIABLE
from tests.evaluate.evaluated_workspace import completions, raw, rendered


@pytest.mark.slow
def test_mlflow_serves_the_champion_from_another_folder(registered: Paths, tmp_path: Path) -> None:
    """As docs/predict.md shows it."""
    port = free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", "models:/tunesmith@champion", "--env-manager", "local"]
    environment = os.environ | {VARIABLE: tracking_uri(registered.root), "TUNESMITH_ROOT": str(registered.root)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = tmp_path / "server.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=tmp_path, env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_healthy(f"{address}/health", server, log)
        records = [{"chat": row["chat"], "template": "chats/short"} for row in raw()]
        answer = requests.post(f"{address}/invocations", json={"dataframe_records": records}, timeout=60)
        assert answer.json() == {"predictions": completions(registered, "lora", "short")}
        prompts = {"columns": ["prompt"], "data": [[row["prompt"]] for row in rendered()]}
        answer = requests.post(f"{address}/invocations", json={"dataframe_split": prompts}, timeout=60)
        assert answer.json() == {"predictions": completions(registered, "lora")}
        answer = requests.post(f"{address}/invocations", json={"dataframe_records": [{"chat": " "}]}, timeout=60)
        assert answer.status_code == 400 and "row 1: a row must have a text" in answer.json()["message"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    assert "gemm_4bit" not in log.read_text(), log.read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(1)
    raise AssertionError(log.read_text())
