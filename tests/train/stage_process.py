"""The stage ``train@X`` in a process of its own, and the files of a training."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.paths import Paths

PROJECT = Path(__file__).parents[2]

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tasks.train.run", "tasks.tracking.client", "peft"])
"""Forks processes from one that has imported the training, since a new one would import for longer than it trains."""


def stage(
    paths: Paths, *names: str, folder: Path = PROJECT, command: tuple[str, ...] = ("tasks.train",), **variables: str
) -> Any:
    """The stage as DVC starts it, or by another command; modules are found in ``folder`` too."""
    path = os.pathsep.join(map(str, [PROJECT, folder]))
    return subprocess.Popen(
        [sys.executable, "-m", *command, *names],
        cwd=paths.root,
        env=os.environ | {"PYTHONPATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def forked_stage(paths: Paths, name: str) -> BaseProcess:
    """The stage in a forked process, which leads a session of its own. Its output goes to ``output_of``."""
    process = FORKS.Process(target=_run_stage, args=(paths.root, name))
    process.start()
    return process


def output_of(paths: Paths) -> Path:
    return paths.root / "output.txt"


def _run_stage(root: Path, name: str) -> None:
    os.setsid()
    os.chdir(root)
    with output_of(Paths(root)).open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["tasks.train", name]
    runpy.run_module("tasks.train", run_name="__main__")


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in folder.iterdir()}


def history(paths: Paths, name: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = files.read_jsonl(paths.run(name, "train") / "history.jsonl")
    return lines
