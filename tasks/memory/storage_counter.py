"""Count the bytes that tensors hold, by purpose, while code runs on fake tensors without storage."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class StorageCounter(TorchDispatchMode):
    """Count each storage that an operation allocates, until the last reference to it is gone.

    Storages from before the block do not count. So the result is what a step takes besides the weights.

    Attributes:
        now: bytes by part at this moment.
        peak: bytes by part at the moment with the highest sum.
        most: highest bytes of each part, each at its own moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._part = "temporary"
        self._peak_total = 0
        self._known: dict[int, tuple[str, int]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what the block allocates under ``name``."""
        before, self._part = self._part, name
        try:
            yield
        finally:
            self._part = before

    def restart(self) -> None:
        """Forget the peaks so far; what is held now stays counted."""
        self._peak_total, self.peak, self.most = self.now.total(), Counter(self.now), Counter(self.now)

    def assign(self, tensors: Iterable[Tensor], name: str) -> None:
        """Move ``tensors`` to the part ``name``; those that no operation allocated count from here on."""
        for tensor in tensors:
            self._count(tensor)
            key = tensor.untyped_storage()._cdata
            if key in self._known:
                part, size = self._known[key]
                self.now[part] -= size
                self.now[name] += size
                self._known[key] = (name, size)
                self.most[name] = max(self.most[name], self.now[name])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # A view shares the storage of an argument, so it allocates nothing.
        inputs = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in inputs:
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or not size:
            return
        self._known[key] = (self._part, size)
        self.now[self._part] += size
        self.most[self._part] = max(self.most[self._part], self.now[self._part])
        weakref.finalize(storage, self._release, key)
        if (total := self.now.total()) > self._peak_total:
            self._peak_total, self.peak = total, Counter(self.now)

    def _release(self, key: int) -> None:
        part, size = self._known.pop(key)
        self.now[part] -= size
