"""Measure the memory of a training: how much the process grows after the model is loaded."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import psutil
import torch

from tasks.core.device import return_freed_memory
from tasks.memory.simulate import storage_bytes, tensors_of

_INTERVAL_S = 0.005


class MemoryGrowth:
    """Measure how far memory rises above its level at the start of the block.

    On a GPU this is the highest allocation. On a CPU it is the highest resident set, read every 5 ms. Memory that the
    process freed earlier is returned first; otherwise new tensors would use it, and nothing would seem to grow.
    Weights of ``model`` that still have to move to the GPU count as part of the level at the start. With
    ``sharded`` they count as growth, since only a share of them moves.

    Attributes:
        peak: highest growth so far, in bytes.
    """

    def __init__(self, model: Any, sharded: bool = False) -> None:
        # Weights are memory-mapped: pages that nothing has read are not resident yet. So read one number per page.
        on_cpu = [tensor for tensor in tensors_of(model) if tensor.device.type == "cpu"]
        for tensor in on_cpu:
            tensor.detach().reshape(-1)[:: 4096 // tensor.element_size()].sum()
        self._bytes_to_move = 0 if sharded else storage_bytes(on_cpu)
        self.peak, self._done = 0, threading.Event()
        self._process, self._before = psutil.Process(), 0
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryGrowth:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() + self._bytes_to_move
        else:
            return_freed_memory()
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
