"""Kill the creation of MLflow's SQLite file at many moments, and open the file again.

    python -m bench.kills [--points 30]

Two ways are compared: MLflow alone, which creates the tables in the file itself, and Tunesmith's ``open_store``. Each
child is forked from a process that has imported MLflow, and kills itself with SIGKILL after a number of SQL statements;
the numbers are evenly spaced over those of a whole creation.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tasks.tracking.client import open_store


def by_mlflow(root: Path) -> None:
    uri = f"sqlite:///{root / 'mlflow.db'}"
    MlflowClient(tracking_uri=uri, registry_uri=uri).get_experiment_by_name("tunesmith")


def by_tunesmith(root: Path) -> None:
    open_store(root)


def in_child(work: Callable[[Path], None], root: Path, last: int | None = None) -> tuple[int, int]:
    """Exit code (negative: its signal) and SQL statements of ``work(root)`` in a child that dies after ``last``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        executed = itertools.count(1)

        def count(*statement: object) -> None:
            if next(executed) == last:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "after_cursor_execute", count)
        try:
            work(root)
        except BaseException:
            os._exit(1)
        os.write(writer, str(next(executed) - 1).encode())
        os._exit(0)
    os.close(writer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reader) as file:
        return code, int(file.read() or 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=30)
    points = parser.parse_args().points
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for name, work in {"MLflow alone": by_mlflow, "open_store": by_tunesmith}.items():
        folder = Path(tempfile.mkdtemp())
        (folder / "whole").mkdir()
        code, statements = in_child(work, folder / "whole")
        assert code == 0 and statements > points
        ends: Counter[str] = Counter()
        for point in range(points):
            root, last = folder / str(point), round(statements * (point + 0.5) / points)
            root.mkdir()
            assert in_child(work, root, last)[0] == -signal.SIGKILL
            files = sorted(path.name for path in root.glob("*mlflow.db*"))
            opened = in_child(work, root)[0] == 0
            ends["opened again" if opened else "cannot be opened any more"] += 1
            print(f"{name}: killed after statement {last}, left {files}, opens: {opened}", flush=True)
        print(f"{name}: {statements} statements; {dict(ends)}", flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
