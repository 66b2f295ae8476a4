"""A task of Prefect for a step that runs in the flow's process, not through DVC."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.states import Completed, State

from flows.retries import RETRIED, failed
from tasks.core.errors import TunesmithError
from tasks.core.faults import is_transient
from tasks.core.paths import Paths
from tasks.core.stage import readable_errors


@task(name="step", task_run_name="{name}", **RETRIED)
def run_step(name: str, work: Callable[[Paths], object], root: Path) -> State[Any]:
    """Run a step outside DVC in this process, where MLflow is loaded already; its log goes to this task's log."""
    try:
        with _relayed(get_run_logger()), readable_errors():
            work(Paths(root))
    except TunesmithError as error:
        message = "\n".join(f"{name}: error: {line}" for line in str(error).splitlines())
        return failed(message, is_transient(error))
    return Completed(message="done")


class _Relay(logging.Handler):
    def __init__(self, target: Any) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        self._target.log(record.levelno, record.getMessage())


@contextmanager
def _relayed(target: Any) -> Iterator[None]:
    """Send the log of the steps to ``target`` only."""
    source, handler = logging.getLogger("tunesmith"), _Relay(target)
    before = source.propagate, source.level
    source.addHandler(handler)
    source.propagate = False
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.propagate = before[0]
        source.setLevel(before[1])
