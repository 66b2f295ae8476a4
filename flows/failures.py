"""Name why a stage failed, for its Prefect task, and why a flow failed, for the flow run."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.states import State

from flows.subprocesses import stopped
from tasks.core.counted import counted
from tasks.core.faults import MEMORY_EXIT, TRANSIENT_EXIT

# dvc's last line about a command that failed. A shell reports a killed child as 128 plus the signal.
_EXITED = re.compile(r"ERROR: failed to reproduce .*exited with (-?\d+)$")

_MORE_MEMORY = {
    "train": "free memory and run again: with equal parameters it resumes from a checkpoint; or apply a change that "
    "`tunesmith plan --memory` names; or set memory.on_oom: halve in params/training.yaml (half the token budget)",
    "predict": "lower evaluate.generation.token_budget (params/evaluation.yaml) or free memory, and run again",
    "benchmark": "lower benchmark.settings.batch_size (params/evaluation.yaml) or free memory, and run again",
}


def why(address: str, lines: list[str]) -> str:
    """Why a stage failed: its own errors, else the signal that ended it, else the last lines of its log.

    Args:
        lines: the output of ``dvc repro`` for the stage.
    """
    errors = [line for line in lines if line.startswith(f"{address}: error: ")]
    if errors:
        return "\n".join(errors)
    if stopped():  # a stage that is stopped during its imports prints only a traceback
        return f"{address}: error: ended, since the flow was stopped"
    if number := _signal(lines):
        return f"{address}: error: {_killed(address, number)}"
    return f"{address}: error: {' | '.join(lines[-3:])}"


def was_transient(lines: list[str]) -> bool:
    """Whether the stage ended with a fault of a network or a server."""
    return _code(lines) == TRANSIENT_EXIT


def lacked_memory(lines: list[str], killed_before: int | None) -> bool:
    """Whether the stage ended for lack of memory: by its own exit code, or by the kernel's choice.

    Args:
        killed_before: ``killed_for_memory()`` when the stage started. If it is None, each SIGKILL means that
            memory ran out.
    """
    if _code(lines) == MEMORY_EXIT:
        return True
    return _signal(lines) == signal.SIGKILL and (killed_before is None or killed_for_memory() != killed_before)


def killed_for_memory() -> int | None:
    """The number of processes that Linux has killed for lack of memory; None if the kernel does not count them."""
    try:
        counters = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in counters if line.startswith("oom_kill ")), None)


def _code(lines: list[str]) -> int:
    """The exit code of the stage, as dvc reports it; 0 if it reports none."""
    codes = [int(match[1]) for match in map(_EXITED.match, lines) if match]
    return codes[-1] if codes else 0


def _signal(lines: list[str]) -> int | None:
    """The number of the signal that ended the stage, as dvc reports it; None if no signal did."""
    code = _code(lines)
    number = -code if code < 0 else code - 128
    return number if number in set(signal.Signals) else None


def _killed(address: str, number: int) -> str:
    if number != signal.SIGKILL:
        name = signal.Signals(number).name
        return f"its process was ended by signal {number} ({name}); read its lines above and run again"
    remedy = _MORE_MEMORY.get(address.partition("@")[0], "free memory and run again")
    return f"its process was killed (signal 9), most often because the memory ran out; {remedy}"


def flow_failure(states: Mapping[str, State[Any]]) -> str | None:
    """Why a flow failed: the failed stages in one line, then their reasons, the shortest first; None if none failed.

    Args:
        states: address → last state of each stage.
    """
    broken = {address: state for address, state in states.items() if state.is_failed() or state.is_crashed()}
    if not broken:
        return None
    lines = [f"{counted(len(broken), 'stage')} failed: {', '.join(broken)}"]
    lines += "\n".join(sorted((str(state.message) for state in broken.values()), key=len)).splitlines()
    behind = [address for address, state in states.items() if not (state.is_completed() or address in broken)]
    if behind:
        lines.append(f"not run, since a stage before them failed: {', '.join(behind)}")
    lines.append("finished stages are kept; correct the cause and run again")
    return "\n".join(f"{line.rstrip('.')}." for line in lines)  # Prefect's page shows the lines as one paragraph
