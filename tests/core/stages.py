"""Stages that run as processes of their own, alone or under DVC."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tasks.core.stage import PARENT_VARIABLE

ROOT = Path(__file__).parents[2]
WORK = """
import os, sys, time
from pathlib import Path
from tasks.core.stage import main

def work(stage):
    with stage.outputs(Path("out/a"), Path("out/b")) as (a, b):
        a.write_text("new")
        b.mkdir()
        (b / "file").write_text("new")
{body}

main({address!r}, work)
"""
WAIT = """
        Path("started").write_text(str(os.getpid()))
        while True:
            time.sleep(0.05)
"""


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key != PARENT_VARIABLE}
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **more}


def script(root: Path, body: str = "", address: str = "work") -> list[str]:
    """A command that runs ``body`` (indented by 8) inside the outputs ``out/a`` and ``out/b`` of a stage."""
    (root / "work.py").write_text(WORK.format(body=body, address=address))
    return [sys.executable, "work.py"]


def finished(command: list[str], root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=root, env=environment(**more), capture_output=True, text=True, check=False, timeout=60
    )


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


DVC_YAML = """
stages:
  work:
    cmd: python work.py
    deps: [folder, input.txt, work.py]
    params:
      - p.yaml: [used]
    outs: [out/a, out/b]
"""


def repro(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return finished([sys.executable, "-m", "dvc", "repro", *arguments], root)


Started = Callable[..., subprocess.Popen[str]]
