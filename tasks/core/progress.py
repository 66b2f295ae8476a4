"""Progress of long work: a bar on a terminal, or one log line per tenth of the work.

A program that runs a stage can read its progress from a file. It names the file in ``PROGRESS_VARIABLE``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger("tunesmith")


PROGRESS_VARIABLE = "TUNESMITH_PROGRESS_FILE"
"""Environment variable with the file to which a stage writes its progress; unset, it writes none."""

_REPORT_EVERY_S = 2.0


@dataclass(frozen=True)
class Report:
    """Progress at one moment.

    Attributes:
        description: the work, such as ``training``.
        done: finished units.
        total: all units.
        unit: the plural name of the units, such as ``rows``.
        seconds_left: estimated time until the end.
        note: a loss or a speed; may be empty.
    """

    description: str
    done: int
    total: int
    unit: str
    seconds_left: float
    note: str

    @property
    def percent(self) -> float:
        """The finished share, from 0 to 100."""
        return min(100.0, 100 * self.done / max(self.total, 1))

    @property
    def text(self) -> str:
        """Such as ``training: 12 of 34 steps, 40 s left, loss 2.310``."""
        left = f"{self.seconds_left:.0f} s left" if self.done < self.total else ""
        counts = f"{self.description}: {self.done:,} of {self.total:,} {self.unit}"
        return ", ".join(part for part in (counts, left, self.note) if part)


def read_report(file: Path) -> Report | None:
    """The progress that a stage wrote last; None if it has written none yet."""
    try:
        return Report(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class Meter:
    """Counts finished units of ``total``, logs each tenth of them, and reports them to a program that reads a file."""

    def __init__(self, description: str, total: int, unit: str, file: Path | None = None) -> None:
        self.description, self.total, self.unit, self.done = description, total, unit, 0
        self._start, self._tenth = time.monotonic(), 0
        self._file, self._reported = file, float("-inf")

    def set_total(self, total: int) -> None:
        """Set the number of units, if it is known only after the work has begun."""
        self.total = total

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count ``amount`` finished units; ``note`` is shown beside them (a loss, a speed)."""
        self.done += amount
        left = (time.monotonic() - self._start) / max(self.done, 1) * (self.total - self.done)
        self._show(amount, left, note)
        self._write(Report(self.description, self.done, self.total, self.unit, left, note))

    def _show(self, amount: int, left: float, note: str) -> None:
        tenth = 10 * self.done // max(self.total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            logger.info("%s %d/%d, %.0f s left %s", self.description, self.done, self.total, left, note)

    def _write(self, report: Report) -> None:
        if self._file is None:
            return
        now = time.monotonic()
        if now - self._reported < _REPORT_EVERY_S and report.done < report.total:
            return
        self._reported = now
        temporary = self._file.with_suffix(".partial")
        with suppress(OSError):  # progress that nobody can read is no reason to end the work
            temporary.write_text(json.dumps(asdict(report)), encoding="utf-8")
            temporary.replace(self._file)


class _Bar(Meter):
    def __init__(self, description: str, total: int, unit: str, bar: Progress, file: Path | None) -> None:
        super().__init__(description, total, unit, file)
        self._bar, self._id = bar, bar.add_task(description, total=total, note="")

    def set_total(self, total: int) -> None:
        super().set_total(total)
        self._bar.update(self._id, total=total)

    def _show(self, amount: int, left: float, note: str) -> None:
        self._bar.update(self._id, advance=amount, note=note)


@contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Meter]:
    """Yield a meter for ``total`` units of work; ``unit`` is the plural name of the units.

    Only the outermost of nested meters reports to ``PROGRESS_VARIABLE``.
    """
    file = os.environ.pop(PROGRESS_VARIABLE, None)
    try:
        with _meter(description, total, unit, Path(file) if file else None) as meter:
            yield meter
    finally:
        if file:
            os.environ[PROGRESS_VARIABLE] = file


@contextmanager
def _meter(description: str, total: int, unit: str, file: Path | None) -> Iterator[Meter]:
    if not sys.stderr.isatty():
        yield Meter(description, total, unit, file)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(description, total, unit, bar, file)
