"""Speed of a training while other processes compute on the same processor, by how its threads wait for each other.

    python -m bench.neighbours --data FOLDER [--rows 96] [--neighbours 2] [--repeats 2]

Each way trains the embedded model (``bench.train``) alone, then beside processes that compute without end at the lowest
priority (``nice 19``). ``default`` is what the OpenMP library does by itself: a waiting thread spins.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAYS: dict[str, dict[str, str]] = {
    "default": {},
    "yield": {"OMP_WAIT_POLICY": "PASSIVE"},
    "short spin": {"GOMP_SPINCOUNT": "10000"},
    "bound": {"OMP_PROC_BIND": "true"},
    "bound, yield": {"OMP_PROC_BIND": "true", "OMP_WAIT_POLICY": "PASSIVE"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--neighbours", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    print(
        f"| way | variables | tokens/s alone | beside {arguments.neighbours} | alone, of default | beside, of default |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    first: tuple[float, float] | None = None
    for way, variables in WAYS.items():
        alone = speed(variables, arguments)
        with busy(arguments.neighbours):
            beside = speed(variables, arguments)
        first = first or (alone, beside)
        set_ = " ".join(f"`{name}={value}`" for name, value in variables.items()) or "–"
        cells = [way, set_, f"{alone:.0f}", f"{beside:.0f}", f"{alone / first[0]:.2f} x", f"{beside / first[1]:.2f} x"]
        print(f"| {' | '.join(cells)} |", flush=True)


def speed(variables: dict[str, str], arguments: argparse.Namespace) -> float:
    """Median tokens per second of the repeats."""
    command = [sys.executable, "-m", "bench.train", "--here", "--variant", "tunesmith", "--data", str(arguments.data)]
    command += ["--rows", str(arguments.rows)]
    speeds = []
    for _ in range(arguments.repeats):
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
        speeds.append(float(json.loads(done.stdout.splitlines()[-1])["tokens_per_second"]))
    return statistics.median(speeds)


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Processes of the lowest priority that compute until the block ends."""
    command = ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
