"""Pairs of flows that finish at once: how many models does each pair promote?

    python -m bench.gate_pairs --pairs 100

Two processes, each with a workspace of its own, share one MLflow store. Their candidates are equal and better than the
champion. Both processes run the gate at the same moment. Exactly one model may be promoted: the other then meets an
equal champion, and a tie promotes nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.gate.params import RegistrationParams
from tasks.register.run import run
from tasks.tracking.client import VARIABLE, open_store
from tests.tracking.ledger_workspace import (
    ROWS,
    add_baselines,
    add_comparison,
    add_evaluation_set,
    add_experiment,
    copy_store,
)

PARAMS = RegistrationParams(min_groups=2)
_WITHIN_S = 180


def _workspace(root: Path, name: str, scores: list[float]) -> Paths:
    paths = Paths(root)
    add_experiment(paths, "base", [0.2, 0.3, 0.1, 0.2], method="none")
    add_experiment(paths, name, scores)
    add_comparison(paths, name, "base", name)
    add_baselines(paths, 4)
    add_evaluation_set(paths, ROWS)
    paths.params.mkdir(parents=True, exist_ok=True)
    write_yaml(paths.params / "evaluation.yaml", {"verdicts": {}})
    return paths


def _gate(commands: Connection, barrier: Any) -> None:
    """Run the gate in each workspace that arrives, at the same moment as the other process."""
    while (order := commands.recv()) is not None:
        root, store = order
        os.environ[VARIABLE] = f"sqlite:///{store}/mlflow.db"
        barrier.wait(_WITHIN_S)
        commands.send(run(PARAMS, Paths(Path(root)))["verdict"])


def _verdict(connection: Connection) -> str:
    if not connection.poll(_WITHIN_S):
        raise TimeoutError(f"a gate did not decide within {_WITHIN_S} s")
    return str(connection.recv())


def _crown(paths: Paths, store: Path) -> None:
    """Make the candidate of the workspace the first champion of the store."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = f"sqlite:///{store}/mlflow.db"
    try:
        assert run(PARAMS, paths)["verdict"] == "accepted"
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def promoted_pairs(pairs: int, empty_store: Path, folder: Path) -> list[tuple[str, str]]:
    """The verdicts of each pair.

    Args:
        empty_store: an initialised MLflow database.
        folder: for the workspaces; each pair has a store and two workspaces.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    connections, processes = [], []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_gate, args=(theirs, barrier), daemon=True)
        process.start()
        theirs.close()  # so that reading ends if the process dies
        connections.append(ours)
        processes.append(process)
    outcomes = []
    try:
        for pair in range(pairs):
            store = folder / f"pair{pair}" / "store"
            copy_store(empty_store, store)
            _crown(_workspace(folder / f"pair{pair}" / "weak", "weak", [0.3, 0.4, 0.3, 0.4]), store)
            roots = [folder / f"pair{pair}" / name for name in ("one", "two")]
            for root, name in zip(roots, ("ours", "theirs"), strict=True):
                _workspace(root, name, [0.5, 0.6, 0.5, 0.6])
            for connection, root in zip(connections, roots, strict=True):
                connection.send((str(root), str(store)))
            first, second = map(_verdict, connections)
            outcomes.append((first, second))
    finally:
        for connection in connections:
            connection.send(None)
        for process in processes:
            process.join(timeout=30)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100)
    options = parser.parse_args()
    os.environ.pop(VARIABLE, None)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        open_store(empty)
        outcomes = promoted_pairs(options.pairs, empty / "mlflow.db", Path(folder))
    once = sum(sorted(pair) == ["accepted", "refused"] for pair in outcomes)
    print(f"{once} of {options.pairs} pairs promoted exactly one model ({time.perf_counter() - started:.0f} s)")
    if once < options.pairs:
        raise SystemExit(f"verdicts of all pairs: {sorted(set(outcomes))}")


if __name__ == "__main__":
    main()
