"""Run each stage on a disk that is full, that fills up meanwhile, or that is read-only; then run it again.

    sudo .venv/bin/python -m bench.full_disk [--folder /tmp/full-disk] [--seed 0] [--only STAGE ...]

The workspace with a tiny model (``tests/boxes.py``) lies on a file system of its own, which needs the right to mount
one. First, all stages are built. Then, for each stage and each fault, the stage's outputs are removed and its command
runs on the faulty disk: it must fail with an error that names the fault, without a traceback, and leave no output.
After that, the same command runs on the disk as it was, and must complete. At the end, ``dvc status`` must call nothing
stale, which means that every output has its first bytes again.
``--seed`` draws the bytes that are left on a disk that fills up.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.params import read_yaml
from tests.boxes import build
from tests.workspaces import dvc, environment

SIZE = "2g"
_FILLER = "filler"
_REPORTED = ("the disk is full", "not accessible")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path("/tmp/full-disk"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    disk = arguments.folder.resolve()
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)], check=True)
    try:
        failures = _measure(disk, random.Random(arguments.seed), arguments.only)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    print(f"{failures} failures")
    sys.exit(failures > 0)


def _measure(disk: Path, draw: random.Random, only: list[str]) -> int:
    root = disk / "workspace"
    build(root, "tiny")
    dvc(root, "repro")
    stages = read_yaml(root / "dvc.lock")["stages"]
    print("| stage | disk | bytes left | exit code | error | outputs left | second run |")
    print("| --- | --- | ---: | ---: | --- | --- | --- |")
    failures = 0
    for address in only or sorted(stages):
        outs = [root / out["path"] for out in stages[address]["outs"]]
        size = sum(out["size"] for out in stages[address]["outs"])
        for fault, spare in (("full", 0), ("fills up", draw.randrange(1, max(2, size))), ("read-only", 0)):
            row, failed = _try(disk, root, stages[address]["cmd"], outs, fault, spare)
            failures += failed
            print(f"| {address} | {fault} | {spare:,} | {row} |{' FAILED' if failed else ''}", flush=True)
    stale = dvc(root, "status", "--json").stdout.strip()
    print(f"dvc status: {stale}")
    return failures + (stale != "{}")


def _try(disk: Path, root: Path, command: str, outs: list[Path], fault: str, spare: int) -> tuple[str, bool]:
    """Run the stage on the faulty disk and again; the row's other cells, and whether anything is wrong."""
    for out in outs:
        files.remove(out)
    with _faulty(disk, fault, spare):
        done = _run(root, command)
        left = [out.name for out in outs if out.exists()]
    lines = done.stderr.strip().splitlines()
    error = next((line for line in reversed(lines) if "error: " in line), lines[-1] if lines else "")
    again = _run(root, command)
    # A stage whose outputs are smaller than a page of the disk may fit into the bytes that are left.
    fits = fault == "fills up" and done.returncode == 0
    clean = done.returncode == 1 and not left and "Traceback" not in done.stderr
    told = any(words in error for words in _REPORTED)
    cells = [str(done.returncode), error[:160].replace("|", "\\|"), ", ".join(left), str(again.returncode)]
    return " | ".join(cells), not (fits or (clean and told)) or again.returncode != 0


def _run(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    variables = environment(root) | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, shell=True, cwd=root, env=variables, capture_output=True, text=True, check=False)


@contextmanager
def _faulty(disk: Path, fault: str, spare: int) -> Iterator[None]:
    """Leave ``spare`` bytes on the disk, or make it read-only, for the block."""
    if fault == "read-only":
        _remount(disk, "ro")
        try:
            yield
        finally:
            _remount(disk, "rw")
        return
    free = shutil.disk_usage(disk).free
    with (disk / _FILLER).open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(1, free - spare))
    try:
        yield
    finally:
        (disk / _FILLER).unlink()


def _remount(disk: Path, mode: str) -> None:
    """A process that ended a moment ago may still have a file open for writing."""
    command: list[Any] = ["mount", "-o", f"remount,{mode}", str(disk)]
    for _ in range(20):
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.5)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
