"""Which rows stand in which batch, of which process, and how many optimizer steps that makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Dataset, Sampler

from tasks.model import distributed
from tasks.model.batches import token_budget_batches
from tasks.model.rendering import Encoded
from tasks.tuning.packing import batches_of
from tasks.tuning.params import LoopParams


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of indices by token budget; another order each epoch, the same order for the same seed."""

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


class Share(Sampler[list[int]]):
    """This process's batches: of each ``distributed.world_size()`` in a row, one.

    All have as many. Where batches run out before processes do, one is empty: accelerate would take a batch again, and
    count its rows twice.
    """

    def __init__(self, batches: TokenBudgetSampler) -> None:
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        self._batches.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        every = list(self._batches)
        every += [[]] * (len(self) * distributed.world_size() - len(every))
        return iter(every[distributed.rank() :: distributed.world_size()])

    def __len__(self) -> int:
        return -(-len(self._batches) // distributed.world_size())


class Rows(Dataset[Encoded]):
    def __init__(self, rows: list[Encoded]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:
        return self.rows[index]


def optimizer_steps(rows: list[Encoded], loop: LoopParams, together: int = 1) -> int:
    """Of a whole training on ``rows`` by so many processes ``together``."""
    batches = len(batches_of(loop)([len(row) for row in rows], loop.token_budget))
    steps = loop.epochs * -(-batches // (loop.accumulation * together))
    return min(steps, loop.max_steps or steps)


def own_batches(rows: list[Encoded], loop: LoopParams, seed: int) -> Share:
    """Those of this process, in another order each epoch."""
    return Share(TokenBudgetSampler([len(row) for row in rows], loop.token_budget, seed, batches_of(loop)))
