"""Kill the creation of MLflow's SQLite file at many moments, and open the file again.

    python -m bench.kills [--points 30]

Two ways are compared: MLflow alone, which creates the tables in the file itself, and Tunesmith's ``open_store``. Each
child is forked from a process that has imported MLflow, and killed with SIGKILL at an evenly spaced moment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from mlflow import MlflowClient

from tasks.tracking.client import open_store


def by_mlflow(root: Path) -> None:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    MlflowClient(tracking_uri=uri, registry_uri=uri).get_experiment_by_name("tunesmith")


def by_tunesmith(root: Path) -> None:
    open_store(root)


def in_child(work: Callable[[Path], None], root: Path, kill_after: float | None = None) -> int:
    """Exit code of ``work(root)`` in a forked child; negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        try:
            work(root)
        except BaseException:
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=30)
    points = parser.parse_args().points
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for name, work in {"MLflow alone": by_mlflow, "open_store": by_tunesmith}.items():
        folder = Path(tempfile.mkdtemp())
        started = time.monotonic()
        (folder / "whole").mkdir()
        assert in_child(work, folder / "whole") == 0
        whole = time.monotonic() - started
        ends: Counter[str] = Counter()
        for point in range(points):
            root = folder / str(point)
            root.mkdir()
            if in_child(work, root, whole * (point + 0.5) / points) == 0:
                ends["finished before the kill"] += 1
                continue
            files = sorted(path.name for path in root.glob("*mlflow.db*"))
            opened = in_child(work, root) == 0
            ends["opened again" if opened else "cannot be opened any more"] += 1
            print(
                f"{name}: killed after {whole * (point + 0.5) / points:.2f} s, left {files}, opens: {opened}",
                flush=True,
            )
        print(f"{name}: created in {whole:.1f} s; {dict(ends)}", flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
