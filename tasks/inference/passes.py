"""One pass of a decoder over tokens of many rows: their slots, their cache, and their attention.

An attention function of this project keeps the rows apart; ``transformers`` calls it instead of its own.
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
    """Division of the cache into slots.

    Attributes:
        room: tokens of the cache.
        width: tokens per slot.
    """

    room: int
    width: int

    @property
    def count(self) -> int:
        """Number of slots."""
        return self.room // self.width

    def slots(self, held: Tensor) -> Tensor:
        """View (heads, room, head size) as (slots, heads, width, head size)."""
        heads, _, size = held.shape
        return held[:, : self.count * self.width].view(heads, self.count, self.width, size).transpose(0, 1)


class Pass:
    """One sequence of T tokens: those of active rows, in the first slots, then those of new prompts.

    Args:
        layout: the slots.
        before: tokens cached before the one token of each active row.
        prompts: lengths of the new prompts, in the next slots.
        prefix: tokens cached before each new prompt.
        device: device of the tensors.
    """

    def __init__(self, layout: Layout, before: Sequence[int], prompts: Sequence[int], prefix: int, device: Any) -> None:
        self.layout, self.prompts, self.prefix = layout, prompts, prefix
        self._before, self._device = list(before), device
        # All layers share the masks, since they have the same heads.
        self._masks: dict[str | int, Tensor] = {}
        starts = [*self._before, *[prefix] * len(prompts)]
        counts = [*[1] * len(before), *prompts]
        positions = [start + i for start, count in zip(starts, counts, strict=True) for i in range(count)]
        slots = [slot for slot, count in enumerate(counts) for _ in range(count)]
        self.positions_T = torch.tensor(positions, device=device)
        self.cache_index_T = torch.tensor(
            [slot * layout.width + position for slot, position in zip(slots, positions, strict=True)], device=device
        )

    @property
    def active(self) -> int:
        """Number of active rows."""
        return len(self._before)

    @cached_property
    def seen(self) -> int:
        """Tokens of the longest active row, that of the pass included."""
        return max(self._before) + 1

    def mask(self, groups: int, dtype: torch.dtype) -> Tensor:
        """Return the mask to add to the scores of the active rows, (R, 1, groups, S)."""
        if "rows" not in self._masks:
            self._masks["rows"] = self._unseen(self._before, 1, self.seen, groups, dtype)
        return self._masks["rows"]

    def mask_after_prefix(self, length: int, groups: int, dtype: torch.dtype) -> Tensor:
        """Return the mask to add to the scores of a new prompt, (1, 1, groups * length, prefix + length)."""
        if length not in self._masks:
            self._masks[length] = self._unseen([self.prefix], length, self.prefix + length, groups, dtype)
        return self._masks[length]

    def _unseen(self, before: list[int], queries: int, seen: int, groups: int, dtype: torch.dtype) -> Tensor:
        """Return (R, 1, groups * queries, seen) with minus infinity at later keys than the query.

        ``before``: number of tokens before the first query of each row.
        """
        at_RQ = torch.tensor(before, device=self._device)[:, None] + torch.arange(queries, device=self._device)
        hidden_RQS = torch.arange(seen, device=self._device) > at_RQ[:, :, None]
        mask_RQS = torch.zeros(hidden_RQS.shape, dtype=dtype, device=self._device).masked_fill(hidden_RQS, -torch.inf)
        return mask_RQS.repeat(1, groups, 1)[:, None]


class Layer(CacheLayerMixin):
    """Keys and values of one layer, each (heads, room, head size); with heads first, slots are a view."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        self.held: tuple[Tensor, ...] = ()

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        # Zeros, since values behind a row get a weight of 0, and 0 times NaN is NaN.
        self.held = tuple(
            states.new_zeros(states.shape[1], self._layout.room, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def _slots(self) -> list[Tensor]:
        return [self._layout.slots(held) for held in self.held]

    def insert_prefix(self, prefix: KeysValues, slots: slice) -> None:
        """Write the keys and values of the common prefix into ``slots``."""
        if not self.is_initialized:
            self.lazy_initialization(*prefix)
        for held, states in zip(self._slots(), prefix, strict=True):
            held[slots, :, : states.shape[2]] = states

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Store the keys and values of the pass; return all that are held, each (1, heads, room, head size)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        index_T = _current.get().cache_index_T
        for held, states in zip(self.held, (key_states, value_states), strict=True):
            held[:, index_T] = states[0, :, : len(index_T)]
        return self.held[0][None], self.held[1][None]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` tokens of one slot to another."""
        for held in self._slots():
            held[target, :, :length] = held[source, :, :length]

    def narrow(self, width: int, lengths: Sequence[int]) -> None:
        """Move the first ``lengths`` tokens of each slot to slots of ``width``."""
        for held, slots in zip(self.held, self._slots(), strict=True):
            for slot, length in enumerate(lengths):
                # Slots move to the front, so a slot can overwrite itself, but no other that has not moved yet.
                held[:, slot * width : slot * width + length] = slots[slot, :, :length].clone()

    def get_seq_length(self) -> int:
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_max_length(self) -> int:
        return self._layout.width


_current: ContextVar[Pass] = ContextVar("pass")
_NAME = "tunesmith_slots"


@contextmanager
def attending(config: Any, current: Pass) -> Iterator[None]:
    """Let the model of ``config`` compute attention with ``_attend`` for this pass."""
    before, token = config._attn_implementation, _current.set(current)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _current.reset(token)


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, scaling: float | None = None, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attend within each row.

    query (1, heads, T, head size); keys and values as ``Layer.update`` returns them. The output is (1, T, heads, head
    size of the values).
    """
    current, groups = _current.get(), query.shape[1] // key.shape[1]
    keys, values = current.layout.slots(key[0]), current.layout.slots(value[0])
    outputs, start = [], 0
    if rows := current.active:
        output = _grouped(
            query[0][:, :rows, None].transpose(0, 1),
            keys[:rows, :, : current.seen],
            values[:rows, :, : current.seen],
            current.mask(groups, query.dtype),
            scaling,
        )
        outputs.append(output[:, :, 0])
        start = rows
    for slot, length in enumerate(current.prompts, start=rows):
        queries = query[:, :, start : start + length]
        seen = current.prefix + length
        own = keys[slot, None, :, :seen], values[slot, None, :, :seen]
        if current.prefix:
            output = _grouped(queries, *own, current.mask_after_prefix(length, groups, query.dtype), scaling)
        else:
            output = scaled_dot_product_attention(queries, *own, is_causal=True, scale=scaling, enable_gqa=groups > 1)
        outputs.append(output[0].transpose(0, 1))
        start += length
    outputs.append(outputs[0].new_zeros(query.shape[2] - start, *outputs[0].shape[1:]))
    return torch.cat(outputs)[None], None


def _grouped(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float | None) -> Tensor:
    """Attend with queries (R, heads, Q, head size); the output is (R, heads, Q, head size of the values).

    Heads that share keys and values become queries of one head, so that nothing is copied. CUDA has a fast kernel for
    grouped heads only without a mask.
    """
    rows, heads, count, size = query.shape
    stacked = query.reshape(rows, keys.shape[1], heads // keys.shape[1] * count, size)
    output: Tensor = scaled_dot_product_attention(stacked, keys, values, attn_mask=mask, scale=scaling)
    return output.reshape(rows, heads, count, -1)


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, lambda *args, **kwargs: None)
