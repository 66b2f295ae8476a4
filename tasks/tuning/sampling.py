"""Sampling: assign rows to batches and batches to processes, and count the optimizer steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Dataset, Sampler

from tasks.model import distributed
from tasks.model.batches import token_budget_batches
from tasks.model.encoded import Encoded
from tasks.tuning.packing import batches_of
from tasks.tuning.params import LoopParams


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of row indices by token budget, in a new order each epoch; equal seeds give equal orders."""

    def __init__(
        self,
        lengths: list[int],
        budget: int,
        seed: int,
        batches: Callable[..., list[list[int]]] = token_budget_batches,
    ) -> None:
        self._lengths, self._budget, self._seed, self._epoch = lengths, budget, seed, 0
        self._batches, self._count = batches, len(batches(lengths, budget))

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches(self._lengths, self._budget, self._seed * 1_000_003 + self._epoch))

    def __len__(self) -> int:
        return self._count


class RankSampler(Sampler[list[int]]):
    """The batches of this process: every ``distributed.world_size()``-th, from the one at its rank.

    Each process gets the same number of batches. Missing ones at the end are empty, whereas accelerate would repeat a
    batch and count its rows twice.
    """

    def __init__(self, batches: TokenBudgetSampler) -> None:
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        self._batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(self._batches)
        batches += [[]] * (len(self) * distributed.world_size() - len(batches))
        return iter(batches[distributed.rank() :: distributed.world_size()])

    def __len__(self) -> int:
        return -(-len(self._batches) // distributed.world_size())


class Rows(Dataset[Encoded]):
    """A list of rows as a ``Dataset``."""

    def __init__(self, rows: list[Encoded]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self.rows[index]


def optimizer_steps(rows: list[Encoded], loop: LoopParams, world_size: int = 1) -> int:
    """Count the optimizer steps of a whole training on ``rows`` by ``world_size`` processes."""
    batches = len(batches_of(loop)([len(row) for row in rows], loop.token_budget))
    steps = loop.epochs * -(-batches // (loop.accumulation * world_size))
    return min(steps, loop.max_steps or steps)


def rank_batches(rows: list[Encoded], loop: LoopParams, seed: int) -> RankSampler:
    """Return the batches of this process, in a new order each epoch."""
    return RankSampler(TokenBudgetSampler([len(row) for row in rows], loop.token_budget, seed, batches_of(loop)))
