"""What a training takes, measured: the growth over the process that has the model loaded."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import psutil
import torch

from tasks.memory.simulate import storage_bytes, tensors_of

_INTERVAL_S = 0.005


class MemoryGrowth:
    """Within the block, the highest allocation of the GPU, or on a CPU the highest resident set, over that before.

    The resident set is read every 5 ms. Weights of ``model`` that are still on their way to the GPU count as before,
    unless only a share of them will get there (``sharded``): what that takes then counts too.

    Attributes:
        peak: highest growth so far, in bytes.
    """

    def __init__(self, model: Any, sharded: bool = False) -> None:
        # Weights are mapped from their file: those that were never read do not stand in memory yet.
        here = [tensor for tensor in tensors_of(model) if tensor.device.type == "cpu"]
        for tensor in here:
            tensor.detach().reshape(-1)[:: 4096 // tensor.element_size()].sum()
        self._on_their_way = 0 if sharded else storage_bytes(here)
        self.peak, self._done = 0, threading.Event()
        self._process, self._before = psutil.Process(), 0
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryGrowth:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() + self._on_their_way
        else:
            self._before = self._process.memory_info().rss
            self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if torch.cuda.is_available():
            self.peak = torch.cuda.max_memory_allocated() - self._before
        else:
            self._done.set()
            self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(_INTERVAL_S):
            self.peak = max(self.peak, self._process.memory_info().rss - self._before)
