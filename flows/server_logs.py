"""Read the logs of the Prefect and the MLflow server: which service failed, and with which error."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.core.paths import Paths

# Prefect: `06:08:32.297 | ERROR   | docket.dependencies - message`
# MLflow: `2026/11/30 06:06:40 ERROR mlflow.x: message`, and its uvicorn `2026/11/30 06:06:10 ERROR:    message`
_RECORD = re.compile(
    r"^(?:\d\d:\d\d:\d\d\.\d{3} \| (?P<level>[A-Z]+) *\| (?P<logger>[\w.]+) - (?P<message>.*)"
    r"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?P<level2>[A-Z]+)(?: (?P<logger2>[\w.]+))?: *(?P<message2>.*))$"
)
_TRACEBACK = "Traceback (most recent call last):"
# Prefect's task queue, docket, names the service that ran: `↩ [    37ms] schedule_deployments(){schedule_deployments}`
_TASK = re.compile(r"(\w+)\(.*\)\{")
_SCHEDULERS = {"schedule_deployments", "schedule_recent_deployments"}  # services of Prefect that create scheduled runs


@dataclass(frozen=True)
class Failure:
    """A failed service of a server; ``error`` is the last line of its error."""

    service: str
    error: str

    @property
    def kind(self) -> tuple[str, str]:
        """A key that is equal for errors that differ only in ids or times."""
        return self.service, self.error.split(":")[0]

    def line(self, server: str, log: Path) -> str:
        """One line for the user: what failed, what follows from it, and what to do."""
        effect = "; no schedule fires" if self.service in _SCHEDULERS else ""
        return (
            f"{server} server: {self.service} fails: {self.error}{effect}. "
            f"`tunesmith doctor` compares the installed versions with the tested ones; log: {log}"
        )


def log_of(root: Path, server: str) -> Path:
    """Log file of the server ``Prefect`` or ``MLflow``; ``tunesmith ui`` overwrites it at each start."""
    return Paths(root).state / f"ui-{server.lower()}.log"


class LogReader:
    """Reads a log that is still being written; each call of ``new`` returns the failures since the call before."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._at = self._size = 0  # bytes: where the last record starts, and how many were read
        self._known: set[tuple[str, str]] = set()

    def new(self, ended: bool = False) -> list[Failure]:
        """Failures of kinds not returned before. The last record may still grow: it waits unless the log ``ended``."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._at)
            records = _records(file.read().splitlines(keepends=True))
        size = self._at + sum(len(line) for record in records for line in record)
        if records and not ended and size > self._size:  # unchanged since the last call: complete
            growing = records.pop()
            self._at = size - sum(map(len, growing))
        else:
            self._at = size
        self._size = size
        texts = [[line.decode(errors="replace").rstrip() for line in record] for record in records]
        failures = {failure.kind: failure for text in texts if (failure := _failure(text))}
        fresh = [failure for kind, failure in failures.items() if kind not in self._known]
        self._known |= failures.keys()
        return fresh


def failures(log: Path) -> list[Failure]:
    """All kinds of failures in a log."""
    return LogReader(log).new(ended=True)


def _records(lines: list[bytes]) -> list[list[bytes]]:
    """Group lines into records; a traceback belongs to the record before it."""
    records: list[list[bytes]] = []
    for line in lines:
        if not records or _RECORD.match(line.decode(errors="replace").rstrip()):
            records.append([])
        records[-1].append(line)
    return records


def _failure(block: list[str]) -> Failure | None:
    record = _RECORD.match(block[0])
    level = record and (record["level"] or record["level2"])
    traceback = any(line.startswith(_TRACEBACK) for line in block)
    if not traceback and level not in {"ERROR", "CRITICAL"}:
        return None
    if record is None or level in {"DEBUG", "INFO"}:  # a traceback that a process printed outside the log
        return Failure("a process of the server", _last_error(block))
    message = record["message"] or record["message2"] or ""
    task = _TASK.search(message)
    service = task[1] if task else record["logger"] or record["logger2"] or "the web server"
    return Failure(service, _last_error(block) if traceback else message)


def _last_error(block: list[str]) -> str:
    """The error's own line: the first one after the frames of the last traceback."""
    last = max(number for number, line in enumerate(block) if line.startswith(_TRACEBACK))
    behind = [line for line in block[last + 1 :] if line.strip() and not line.startswith(" ")]
    return behind[0].strip() if behind else block[-1].strip()
