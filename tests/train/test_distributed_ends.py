"""How a training in several processes ends early: by the error of one process, and by a signal."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.core import files
from tasks.core.params import merge
from tasks.core.paths import Paths
from tests.train.launched import PLAIN_LORA, TRAINED, curve, launched
from tests.train.stage_process import stage
from tests.train.training_workspace import LORA, add, train, workspace

BREAKS = """
import os
if os.environ.get("RANK") == "1":
    import tasks.train.trainer
    def broken(*_):
        raise {error}
    tasks.train.trainer.CompletionTrainer.fit = broken
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("tasks.core.errors.TunesmithError('the disk is gone')", "train@lora: error: the disk is gone"),
        ("RuntimeError('of a kernel')", "train@lora: error: process 1 of 2: RuntimeError: of a kernel"),
    ],
)
def test_the_error_of_one_process_is_the_stages(tmp_path: Path, tiny_llama: Path, error: str, message: str) -> None:
    """The other process waits for the one that fails; it ends too, and nothing is left."""
    paths = workspace(tmp_path / "workspace", tiny_llama, TRAINED)
    add(paths, "lora", merge(PLAIN_LORA, launched()))
    (tmp_path / "sitecustomize.py").write_text(BREAKS.format(error=error))
    broken = stage(paths, "lora", folder=tmp_path)
    output = broken.communicate(timeout=300)[0]
    assert broken.returncode == 1, output
    assert [line for line in output.splitlines() if "error:" in line] == [message], output
    assert "ChildFailedError" not in output
    assert not paths.model("lora").exists() and not paths.run("lora", "train").exists()


def long_training(strategy: str) -> dict[str, Any]:
    method = {} if strategy == "fsdp" else LORA
    return merge(merge(launched(strategy), method), {"training": {"epochs": 40}})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Callable[[str], Paths]:
    """A workspace where ``x`` was trained without a break, by strategy."""

    @functools.cache
    def trained(strategy: str) -> Paths:
        paths = workspace(tmp_path_factory.mktemp("whole") / strategy, tiny_llama, TRAINED)
        train(paths, "x", long_training(strategy))
        return paths

    return trained


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_ends_all_processes_and_the_resumed_training_gives_the_same_bytes(
    tmp_path: Path, tiny_llama: Path, whole: Callable[[str], Paths], number: signal.Signals
) -> None:
    """SIGKILL of the stage alone: its processes see that it is gone."""
    strategy = "fsdp" if number == signal.SIGTERM else "ddp"
    paths = workspace(tmp_path / "cut", tiny_llama, TRAINED)
    add(paths, "x", long_training(strategy))
    cut = stage(paths, "x")
    deadline = time.monotonic() + 200
    while not list(paths.checkpoints.glob("*/checkpoint-*/complete.json")):
        assert time.monotonic() < deadline and cut.poll() is None
        time.sleep(0.01)
    workers = psutil.Process(cut.pid).children(recursive=True)
    assert len([worker for worker in workers if "tasks.train" in worker.cmdline()]) == 2
    cut.send_signal(number)
    output = cut.communicate(timeout=100)[0]
    ended = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
    assert cut.returncode == ended[number], output
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert not paths.model("x").exists()
    train(paths, "x", long_training(strategy))
    assert curve(paths, "x") == curve(whole(strategy), "x")
    hashes = [files.sha256(next(p.model("x").glob("*.safetensors"))) for p in (paths, whole(strategy))]
    assert hashes[0] == hashes[1]
