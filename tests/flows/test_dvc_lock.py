"""Beside another DVC process: it is waited for and named; what dead ones left stops nothing. All processes are real."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.dag import read_dag
from flows.dvc_lock import holders, run_dvc, wait_for_others
from flows.lock_copy import copy_of
from flows.subprocesses import allow
from tasks.core.errors import TunesmithError
from tests.workspaces import dvc

DVC_YAML = """
stages:
  slow:
    cmd: echo $$ > pid; while [ ! -e go ]; do sleep 0.1; done; echo built > out.txt
    outs: [out.txt]
"""


@pytest.fixture(scope="module")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / ".gitignore").write_text("/.tunesmith/\n")
    return root


@pytest.fixture
def root(initialised: Path) -> Iterator[Path]:
    for name in ("go", "pid", "out.txt", "dvc.lock", ".tunesmith/dvc.lock", ".dvc/tmp/rwlock"):
        (initialised / name).unlink(missing_ok=True)
    yield initialised
    (initialised / "go").touch()


@pytest.fixture
def other(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A `dvc repro` amid its stage, which ends when the file `go` appears."""
    command = [sys.executable, "-m", "dvc", "repro"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (root / "pid").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    yield process
    (root / "go").touch()
    process.wait(60)


def _told(told: list[str], other: subprocess.Popen[bytes]) -> None:
    assert len(told) == 1, told
    assert told[0].startswith(f"process {other.pid} (`") and told[0].endswith(
        "dvc/__main__.py repro`) works in this workspace; waiting for it to end"
    )


def test_the_status_names_another_dvc_or_waits_for_it(root: Path, other: subprocess.Popen[bytes]) -> None:
    with pytest.raises(TunesmithError) as error:
        read_dag(root)
    assert str(error.value).startswith(f"process {other.pid} (`")
    assert str(error.value).endswith("works in this workspace; run this again when it has ended")
    _interrupt_a_wait(root)
    assert other.poll() is None
    told: list[str] = []
    assert read_dag(root, lambda line: (told.append(line), (root / "go").touch())).stale == {}
    assert other.wait(60) == 0 and (root / "out.txt").read_text() == "built\n"
    _told(told, other)


def _interrupt_a_wait(root: Path) -> None:
    def interrupt(line: str) -> None:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            read_dag(root, interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    told: list[str] = []
    wait_for_others(root, told.append, lambda: bool(told))


def test_a_stage_of_a_flow_waits_for_another_dvc_and_names_it(root: Path, other: subprocess.Popen[bytes]) -> None:
    told: list[str] = []
    _run_stage(root, told)
    assert other.wait(60) == 0
    _told(told, other)


@pytest.mark.slow
def test_a_command_waits_for_another_dvc_and_names_it(root: Path, other: subprocess.Popen[bytes]) -> None:
    told: list[str] = []
    done = run_dvc(root, ["repro"], lambda line: (told.append(line), (root / "go").touch()))
    assert done.returncode == 0 and "didn't change, skipping" in done.stdout
    assert other.wait(60) == 0
    _told(told, other)


def _run_stage(root: Path, told: list[str]) -> None:
    from prefect.logging import disable_run_logger

    from flows.stages import run_stage

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waiting for it" in record.getMessage():
                told.append(record.getMessage().removeprefix("slow: "))
                (root / "go").touch()

    allow()
    logger, listener = logging.getLogger("null"), Listener()
    with pytest.MonkeyPatch.context() as patch, disable_run_logger():
        logger.addHandler(listener)
        patch.setattr("flows.stages.get_run_logger", lambda: logger)
        state: Any = run_stage.fn("slow", root)
        logger.removeHandler(listener)
    assert state.is_completed() and state.name == "Cached"


@pytest.fixture
def zombie() -> Iterator[int]:
    process = subprocess.Popen(["true"])  # it ends and nobody collects it
    time.sleep(0.3)
    yield process.pid
    process.wait()


@pytest.fixture
def stranger() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("whose", ["zombie", "stranger", "ours_before", "half_written"])
def test_a_lock_of_a_process_that_is_gone_stops_nothing(root: Path, whose: str, request: pytest.FixtureRequest) -> None:
    """DVC passes by a number that no process has, and none of these: its file had to be removed by hand."""
    pids: dict[str, Callable[[], int]] = {
        "zombie": lambda: request.getfixturevalue("zombie"),
        "stranger": lambda: request.getfixturevalue("stranger"),
        "ours_before": os.getpid,
    }
    lock = root / ".dvc/tmp/rwlock"
    if whose == "half_written":
        lock.write_text('{"write": {')
    else:
        entry = {"pid": pids[whose](), "cmd": "/usr/bin/dvc repro"}
        lock.write_text(json.dumps({"write": {str(root / "out.txt"): entry}, "read": {}}))
    assert holders(root) == []
    told: list[str] = []
    assert "slow" in read_dag(root, told.append).stale
    assert told == []


def test_a_reused_number_is_known_by_its_age(root: Path) -> None:
    lock = root / ".dvc/tmp/rwlock"
    program = "import time; print('started', flush=True); time.sleep(60)"
    python = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert python.stdout is not None and python.stdout.readline()  # before, its command line can be empty
        entry = {"pid": python.pid, "cmd": "/usr/bin/dvc repro"}
        lock.write_text(json.dumps({"write": {str(root / "out.txt"): entry}, "read": {}}))
        assert [holder.pid for holder in holders(root)] == [python.pid]
        os.utime(lock, (time.time() - 60, time.time() - 60))  # it was written before the process began
        assert holders(root) == []
        assert "slow" in read_dag(root, lambda line: None).stale
    finally:
        python.kill()
        python.wait()


@pytest.mark.parametrize(
    "text", ["schema: '2.0'\nstages:\n  slow:\n    cmd: 'echo", "schema: '2.0'\nstages:\n  slow:\n"]
)
def test_a_dvc_lock_that_is_cut_off_is_restored(root: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (root / "go").touch()
    dvc(root, "repro")
    assert read_dag(root).stale == {}
    whole = (root / "dvc.lock").read_bytes()
    (root / "dvc.lock").write_text(text)
    assert read_dag(root).stale == {}
    assert (root / "dvc.lock").read_bytes() == whole
    assert "dvc.lock was cut off, since a process was killed" in caplog.text


def test_a_dvc_lock_that_dvc_refuses_for_another_reason_is_an_error(root: Path) -> None:
    (root / "go").touch()
    dvc(root, "repro")
    assert read_dag(root).stale == {}
    ignored = (root / ".gitignore").read_text()
    (root / ".gitignore").write_text(ignored + "dvc.lock\n")
    try:
        with pytest.raises(TunesmithError, match=r"dvc\.lock: .*git-ignored"):
            read_dag(root)
    finally:
        (root / ".gitignore").write_text(ignored)


@pytest.mark.parametrize("copy", [None, "schema: '2.0'\nstages:\n  slow:\n"])
@pytest.mark.parametrize(
    "text", ["schema: '2.0'\nstages:\n  slow:\n    cmd: 'echo", "schema: '2.0'\nstages:\n  slow:\n"]
)
def test_a_dvc_lock_without_a_whole_copy_is_named_with_the_remedy(root: Path, text: str, copy: str | None) -> None:
    (root / "dvc.lock").write_text(text)
    copy_of(root).parent.mkdir(exist_ok=True)
    if copy is not None:
        copy_of(root).write_text(copy)
    with pytest.raises(
        TunesmithError, match=r"^dvc\.lock: must be complete; DVC reports: .*Restore it \(`git checkout dvc"
    ):
        read_dag(root)
    (root / "dvc.lock").unlink()
    assert "slow" in read_dag(root).stale
