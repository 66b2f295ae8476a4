"""Show the progress of a stage as a progress artifact of its Prefect task."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.core.paths import Paths
from tasks.core.progress import PROGRESS_VARIABLE, Report, read_report

_EVERY_S = 3.0
_LAST_UPDATE_S = 5.0


@contextmanager
def shown(address: str, root: Path) -> Iterator[dict[str, str]]:
    """Move a progress artifact of the current task while the block runs a stage.

    A thread of its own talks to the API, so a server that is slow or gone neither delays nor fails the stage.

    Yields:
        The environment variable that tells the stage where to report its progress.
    """
    file = Paths(root).state / "progress" / f"{address}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    ended = threading.Event()
    bar = _Bar(address)
    context = copy_context()  # the task run that the artifact belongs to
    thread = threading.Thread(target=context.run, args=(_follow, file, bar, ended), daemon=True)
    thread.start()
    try:
        yield {PROGRESS_VARIABLE: str(file)}
    finally:
        ended.set()
        thread.join(_LAST_UPDATE_S)
        file.unlink(missing_ok=True)


def _follow(file: Path, bar: _Bar, ended: threading.Event) -> None:
    last = False
    while not last:
        last = ended.wait(_EVERY_S)
        if report := read_report(file):
            bar.show(report)


class _Bar:
    """The artifact, created with the first report."""

    def __init__(self, address: str) -> None:
        # The keys of artifacts hold only small letters, digits and dashes.
        self._key = f"progress-{''.join(c if c.isascii() and c.isalnum() else '-' for c in address.lower())}"
        self._id: UUID | None = None
        self._shown: Report | None = None

    def show(self, report: Report) -> None:
        if report == self._shown:
            return
        try:
            if self._id is None:
                self._id = cast(UUID, create_progress_artifact(report.percent, self._key, report.text))
            else:
                update_progress_artifact(self._id, report.percent, report.text)
        except Exception as error:  # the stage goes on, whatever keeps the API from answering
            logging.getLogger("tunesmith").debug("progress is not shown: %s", error)
            return
        self._shown = report
