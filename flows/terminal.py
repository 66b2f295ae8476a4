"""Output of commands: results on stdout, progress and warnings on stderr."""

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
    """Print texts as they are: without markup, colours or line breaks."""
    console.print(*texts, markup=False, highlight=False, soft_wrap=True)


def show(table: RenderableType) -> None:
    """Print tables. In a file or a pipe they are as wide as their content."""
    if console.is_terminal:
        console.print(table)
        return
    wide = console.options.update(width=_WIDEST)
    needed = Measurement.get(console, wide, table).maximum
    Console(width=max(console.width, needed)).print(table)


def say(line: str) -> None:
    """Print the step that a command is at; on stderr, so that its results can be kept in a file."""
    Console(stderr=True, soft_wrap=True).print(f"{line} …", style="dim", markup=False, highlight=False)


def note(line: str) -> None:
    """Print a remark about a result, on stderr."""
    Console(stderr=True, soft_wrap=True).print(line, markup=False, highlight=False)


def warn(text: str) -> None:
    """Print a problem in red, on stderr."""
    Console(stderr=True, soft_wrap=True).print(text, style="red", markup=False, highlight=False)


class StageNames(logging.Formatter):
    """Starts each log line with its stage (Prefect's name of the task), since stages run side by side."""

    def format(self, record: logging.LogRecord) -> str:
        line, stage = super().format(record), getattr(record, "task_run_name", None)
        return line if stage is None or line.startswith(f"{stage}: ") else f"{stage}: {line}"


def log_to_stderr() -> None:
    """Log to stderr at INFO and above."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(StageNames("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def workspace() -> Path:
    """Find the workspace of this folder, and set the environment that its commands need."""
    root = find_root()
    prepare_environment(root)
    return root
