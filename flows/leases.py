"""Leases of processors and GPUs: each stage that computes with a model holds one while it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.tuning.params import load_params

_PAUSE_S = 0.5

_LEASED = ("train@", "predict@", "benchmark@")


def needs_lease(address: str) -> bool:
    """Whether a stage computes with a model, and so holds a GPU or a share of the processor while it runs."""
    return address.startswith(_LEASED)


def gpus() -> list[str]:
    """Ids of the GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [part for part in visible.split(",") if part.strip() not in {"", "-1"}]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return re.findall(r"^GPU (\d+):", listed.stdout, flags=re.MULTILINE)  # MIG instances are listed with an indent


def slots(root: Path) -> list[str]:
    """The slots that trainings, predictions and benchmarks lease: the GPUs, or else shares of ``threads`` cores each.

    More of them at once than the cores allow would not change results, but would slow all of them down.
    """
    if ids := gpus():
        return [f"gpu{gpu}" for gpu in ids]
    threads = read_yaml(Paths(root).params / "training.yaml").get("defaults", {}).get("threads", 2)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [f"cpu{share}" for share in range(max(1, cores // max(1, int(threads))))]


def gpus_of(address: str, root: Path) -> int:
    """The number of GPUs that a stage needs; a training may run in several processes on this node."""
    step, name = address.split("@")
    resolved = Paths(root).experiment(name) / "train.yaml"
    if step != "train" or not resolved.exists():
        return 1
    return load_params(resolved).processes_per_node


class Lease:
    """One slot, or several GPUs, for one stage. The locks are files, which the operating system frees after a crash.

    If the machine has fewer GPUs than wanted, the lease takes all of them, and the training itself reports the lack.

    Args:
        root: the workspace.
        gpus_wanted: number of GPUs; on a machine without GPUs, the lease is always one slot.
    """

    def __init__(self, root: Path, gpus_wanted: int = 1) -> None:
        self._folder = Paths(root).state / "leases"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._slots = slots(root)
        self._wanted = min(gpus_wanted, len(self._slots)) if self._slots[0].startswith("gpu") else 1
        self._held: dict[str, FileLock] = {}

    def take(self) -> bool:
        """Lock the free slots; if they are fewer than wanted, lock none and return False.

        Two leases that each held some of the slots would wait for each other forever.
        """
        for slot in self._slots:
            lock = FileLock(self._folder / slot, thread_local=False)  # another thread may release it
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            self._held[slot] = lock
            if len(self._held) == self._wanted:
                return True
        self.release()
        return False

    def variables(self) -> dict[str, str]:
        """The environment variables that bind a subprocess to the held GPUs; empty for a share of the processor."""
        ids = [slot.removeprefix("gpu") for slot in self._held if slot.startswith("gpu")]
        return {"CUDA_VISIBLE_DEVICES": ",".join(ids), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if ids else {}

    def release(self) -> None:
        """Unlock all slots that this lease holds."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()


@contextmanager
def held(root: Path) -> Iterator[dict[str, str]]:
    """Wait for one slot, and hold it during the block; yield ``Lease.variables``."""
    lease = Lease(root)
    while not lease.take():
        time.sleep(_PAUSE_S)
    try:
        yield lease.variables()
    finally:
        lease.release()
