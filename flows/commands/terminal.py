"""How commands speak: results on stdout, what they are at on stderr."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from rich.console import Console, RenderableType
from rich.measure import Measurement

from flows.workspace import find_root, prepare_environment

console = Console(width=None if sys.stdout.isatty() else 120)

_WIDEST = 1000


def write(*texts: object) -> None:
    """Texts as they are: no markup, no colours, no breaks."""
    console.print(*texts, markup=False, highlight=False, soft_wrap=True)


def show(table: RenderableType) -> None:
    """A table (or several); in a file or a pipe as wide as it needs to be whole."""
    if console.is_terminal:
        console.print(table)
        return
    wide = console.options.update(width=_WIDEST)
    needed = Measurement.get(console, wide, table).maximum
    Console(width=max(console.width, needed)).print(table)


def say(line: str) -> None:
    """What a command is at now; on stderr, so that what it prints can be kept."""
    Console(stderr=True, soft_wrap=True).print(f"{line} …", style="dim", markup=False, highlight=False)


def note(line: str) -> None:
    """Print what the user must know about a result; on stderr, as ``say``."""
    Console(stderr=True, soft_wrap=True).print(line, markup=False, highlight=False)


class StageNames(logging.Formatter):
    """Lines of stages that run side by side, each begun with its stage (Prefect's name of the task)."""

    def format(self, record: logging.LogRecord) -> str:
        line, stage = super().format(record), getattr(record, "task_run_name", None)
        return line if stage is None or line.startswith(f"{stage}: ") else f"{stage}: {line}"


def log_to_stderr() -> None:
    """What is logged at INFO and above goes to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(StageNames("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def workspace() -> Path:
    """The workspace of this folder, with the environment that its commands need."""
    root = find_root()
    prepare_environment(root)
    return root
