"""One pass of a decoder over tokens of many rows: where they stand, what is kept of them, and their attention.

Rows are told apart by this project's own function of attention, which ``transformers`` calls in the place of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.cache_utils import CacheLayerMixin
from transformers.masking_utils import AttentionMaskInterface

KeysValues = tuple[Tensor, Tensor]


@dataclass
class Layout:
    """How the room is shared out.

    Attributes:
        room: tokens in all.
        width: tokens of a slot.
    """

    room: int
    width: int

    @property
    def count(self) -> int:
        return self.room // self.width

    def slots(self, held: Tensor) -> Tensor:
        """(heads, room, head size) as (slots, heads, width, head size), which is a view: heads stand first."""
        heads, _, size = held.shape
        return held[:, : self.count * self.width].view(heads, self.count, self.width, size).transpose(0, 1)


class Pass:
    """One sequence of T tokens: ``rows`` under way, each (tokens, how many came before), in the first slots; then
    prompts of ``read`` tokens in the next ones, each behind ``begun`` tokens."""

    def __init__(
        self, layout: Layout, rows: Sequence[tuple[Sequence[int], int]], read: Sequence[int], begun: int, device: Any
    ) -> None:
        self.layout, self.read, self.begun = layout, read, begun
        self._counts, self._before = [len(tokens) for tokens, _ in rows], [before for _, before in rows]
        self._device = device
        # Of all layers, which have the same heads.
        self._masks: dict[str | int, Tensor] = {}
        starts = [*self._before, *[begun] * len(read)]
        within = [start + i for start, count in zip(starts, [*self._counts, *read], strict=True) for i in range(count)]
        slots = [slot for slot, count in enumerate([*self._counts, *read]) for _ in range(count)]
        self.positions_T = torch.tensor(within, device=device)
        self.places_T = torch.tensor(
            [s * layout.width + at for s, at in zip(slots, within, strict=True)], device=device
        )

    @property
    def under_way(self) -> int:
        """Rows."""
        return len(self._counts)

    @cached_property
    def seen(self) -> int:
        """Tokens of the longest row under way, those of the pass included."""
        return max(before + count for before, count in zip(self._before, self._counts, strict=True))

    @cached_property
    def tokens_RQ(self) -> Tensor:
        """Where in the sequence the tokens of each row under way stand; rows with fewer repeat their last."""
        found, start = [], 0
        for count in self._counts:
            found.append([start + min(i, count - 1) for i in range(max(self._counts))])
            start += count
        return torch.tensor(found, device=self._device)

    @cached_property
    def back_N(self) -> Tensor:
        """Where in ``tokens_RQ``, flat, each token of the rows under way stands."""
        most = max(self._counts)
        return torch.tensor(
            [row * most + i for row, count in enumerate(self._counts) for i in range(count)], device=self._device
        )

    def mask(self, groups: int, dtype: torch.dtype) -> Tensor:
        """(R, 1, groups * Q, S), added to scores of the rows under way."""
        if "rows" not in self._masks:
            self._masks["rows"] = self._unseen(self._before, max(self._counts), self.seen, groups, dtype)
        return self._masks["rows"]

    def mask_behind_beginning(self, length: int, groups: int, dtype: torch.dtype) -> Tensor:
        """(1, 1, groups * length, begun + length), added to scores of a new prompt."""
        if length not in self._masks:
            self._masks[length] = self._unseen([self.begun], length, self.begun + length, groups, dtype)
        return self._masks[length]

    def _unseen(self, before: list[int], queries: int, seen: int, groups: int, dtype: torch.dtype) -> Tensor:
        """(R, 1, groups * queries, seen): minus infinity at what stands behind a query; so many came before each row's
        first."""
        at_RQ = torch.tensor(before, device=self._device)[:, None] + torch.arange(queries, device=self._device)
        hidden_RQS = torch.arange(seen, device=self._device) > at_RQ[:, :, None]
        mask_RQS = torch.zeros(hidden_RQS.shape, dtype=dtype, device=self._device).masked_fill(hidden_RQS, -torch.inf)
        return mask_RQS.repeat(1, groups, 1)[:, None]


class Layer(CacheLayerMixin):
    """Keys and values of one layer, each (heads, room, head size): heads first, so that any slots are a view."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        self.held: tuple[Tensor, ...] = ()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        # Zeros, because what lies behind a row is multiplied by a weight of 0, and 0 times NaN is NaN.
        self.held = tuple(
            states.new_zeros(states.shape[1], self._layout.room, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def _slots(self) -> list[Tensor]:
        return [self._layout.slots(held) for held in self.held]

    def begin(self, beginning: KeysValues, slots: slice) -> None:
        if not self.is_initialized:
            self.lazy_initialization(*beginning)
        for held, begun in zip(self._slots(), beginning, strict=True):
            held[slots, :, : begun.shape[2]] = begun

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Keep those of the pass; all that is held, each (1, heads, room, head size), for ``_attend``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        places_T = _now.get().places_T
        for held, states in zip(self.held, (key_states, value_states), strict=True):
            held[:, places_T] = states[0, :, : len(places_T)]
        return self.held[0][None], self.held[1][None]

    def move(self, source: int, target: int, length: int) -> None:
        for held in self._slots():
            held[target, :, :length] = held[source, :, :length]

    def narrow(self, width: int, lengths: Sequence[int]) -> None:
        for held, slots in zip(self.held, self._slots(), strict=True):
            for slot, length in enumerate(lengths):
                # Slots move towards the beginning, so none is written over before it has moved, but perhaps itself.
                held[:, slot * width : slot * width + length] = slots[slot, :, :length].clone()

    def get_seq_length(self) -> int:
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_max_length(self) -> int:
        return self._layout.width


_now: ContextVar[Pass] = ContextVar("pass")
_NAME = "tunesmith_slots"


@contextmanager
def attending(config: Any, now: Pass) -> Iterator[None]:
    """The model computes attention by ``_attend``, of this pass."""
    before, token = config._attn_implementation, _now.set(now)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _now.reset(token)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, scaling: float | None = None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention within each row: query (1, heads, T, head size), keys and values as ``Layer.update`` gives them;
    (1, T, heads, head size of the values)."""
    now, groups = _now.get(), query.shape[1] // key.shape[1]
    keys, values = now.layout.slots(key[0]), now.layout.slots(value[0])
    found, start = [], 0
    if now.under_way:
        rows = now.under_way
        said = _grouped(
            query[0][:, now.tokens_RQ].transpose(0, 1),
            keys[:rows, :, : now.seen],
            values[:rows, :, : now.seen],
            now.mask(groups, query.dtype),
            scaling,
        )
        found.append(said.transpose(1, 2).flatten(0, 1)[now.back_N])
        start = len(now.back_N)
    for slot, length in enumerate(now.read, start=now.under_way):
        asked = query[:, :, start : start + length]
        seen = now.begun + length
        own = keys[slot, None, :, :seen], values[slot, None, :, :seen]
        if now.begun:
            said = _grouped(asked, *own, now.mask_behind_beginning(length, groups, query.dtype), scaling)
        else:
            said = scaled_dot_product_attention(asked, *own, is_causal=True, scale=scaling, enable_gqa=groups > 1)
        found.append(said[0].transpose(0, 1))
        start += length
    found.append(found[0].new_zeros(query.shape[2] - start, *found[0].shape[1:]))
    return torch.cat(found)[None], None


def _grouped(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Attention (R, heads, Q, head size of the values) of queries (R, heads, Q, head size).

    Heads that share keys and values stand as queries of one head: nothing is copied, and CUDA has a fast kernel for
    grouped heads without a mask only.
    """
    rows, heads, count, size = query.shape
    asked = query.reshape(rows, keys.shape[1], heads // keys.shape[1] * count, size)
    said: Tensor = scaled_dot_product_attention(asked, keys, values, attn_mask=mask, scale=scaling)
    return said.reshape(rows, heads, count, -1)


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, lambda *args, **kwargs: None)
