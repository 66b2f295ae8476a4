"""Progress of long work: a bar on a terminal, or one log line per tenth of the work."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger("tunesmith")


class Meter:
    """Counts finished units of ``total``, and logs each tenth of them."""

    def __init__(self, description: str, total: int) -> None:
        self.description, self.total, self.done = description, total, 0
        self._start, self._tenth = time.monotonic(), 0

    def set_total(self, total: int) -> None:
        """Set the number of units, if it is known only after the work has begun."""
        self.total = total

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Count ``amount`` finished units; ``note`` is shown beside them (a loss, a speed)."""
        self.done += amount
        tenth = 10 * self.done // max(self.total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            left = (time.monotonic() - self._start) / max(self.done, 1) * (self.total - self.done)
            logger.info("%s %d/%d, %.0f s left %s", self.description, self.done, self.total, left, note)


class _Bar(Meter):
    def __init__(self, description: str, total: int, bar: Progress) -> None:
        super().__init__(description, total)
        self._bar, self._id = bar, bar.add_task(description, total=total, note="")

    def set_total(self, total: int) -> None:
        super().set_total(total)
        self._bar.update(self._id, total=total)

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        self._bar.update(self._id, advance=amount, note=note)


@contextmanager
def progress(description: str, total: int) -> Iterator[Meter]:
    """Yield a meter for ``total`` units of work."""
    if not sys.stderr.isatty():
        yield Meter(description, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(description, total, bar)
