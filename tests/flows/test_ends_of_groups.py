"""Processes that outlive the first one of their group, as MLflow's uvicorn outlives ``mlflow server``."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows.subprocesses import end_group

CHILD = "import signal, time; {ignored}print('ready', flush=True); time.sleep(60)"
LEADER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}])
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize("leader", ["runs", "was killed"])
@pytest.mark.parametrize("ignored", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN); "], ids=["obeys", "ignores"])
def test_no_process_of_the_group_is_left(ignored: str, leader: str) -> None:
    code = LEADER.format(child=CHILD.format(ignored=ignored))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    child = psutil.Process(int(first if first.strip().isdigit() else second))
    if leader == "was killed":
        process.kill()
        process.wait()
        assert child.is_running()
    start = time.monotonic()
    end_group(process, ((signal.SIGTERM, 1), (signal.SIGKILL, 10)))
    assert time.monotonic() - start < 8
    assert process.poll() is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_group_that_ended_is_left_alone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    end_group(process, ((signal.SIGTERM, 1),))
