"""How many bytes tensors hold, by what they are for, while code runs on fake tensors that hold none."""

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
    """Counts the storages that operations make, until nothing refers to them any more.

    What was there before does not count, so what it finds is what a step takes beside the weights.

    Attributes:
        now: bytes by part, at this moment.
        peak: bytes by part at the moment when there were most in all.
        most: of each part, at its own highest moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self._part = "temporary"
        self._most = 0
        self._known: dict[int, tuple[str, int]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is made within belongs to ``name``."""
        before, self._part = self._part, name
        try:
            yield
        finally:
            self._part = before

    def restart(self) -> None:
        """Forget the highest moments so far."""
        self._most, self.peak, self.most = self.now.total(), Counter(self.now), Counter(self.now)

    def belongs(self, tensors: Iterable[Tensor], name: str) -> None:
        """Say of tensors what they are for; what no operation made is counted from here on."""
        for tensor in tensors:
            self._count(tensor)
            place = tensor.untyped_storage()._cdata
            if place in self._known:
                part, size = self._known[place]
                self.now[part] -= size
                self.now[name] += size
                self._known[place] = (name, size)
                self.most[name] = max(self.most[name], self.now[name])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # A view of what was there before is nothing new.
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given:
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self._known or not size:
            return
        self._known[place] = (self._part, size)
        self.now[self._part] += size
        self.most[self._part] = max(self.most[self._part], self.now[self._part])
        weakref.finalize(storage, self._forget, place)
        if (total := self.now.total()) > self._most:
            self._most, self.peak = total, Counter(self.now)

    def _forget(self, place: int) -> None:
        part, size = self._known.pop(place)
        self.now[part] -= size
