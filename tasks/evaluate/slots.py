"""Greedy answers of a decoder in slots: a row that has ended gives its slot to the next, and no padding is kept.

``generate`` of ``transformers`` holds a batch together until its longest answer has ended, pads every prompt to the
longest, and copies all keys and values at each step to add one. Here each row has a stretch of one tensor from its
first place on, and what lies behind its own length is masked: continuous batching (Yu et al. 2022, Orca).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from tasks.likelihood import bucket, output_only_at, unwrapped

READ_AT_ONCE = 512
"""Most tokens of the prompts that are read in one pass: enough for matrix products, little beside the cache."""

MORE_SLOTS = 1.25
"""Slots are made narrower where so many times as many have room, as rows get shorter: it copies what they hold."""


SUITED = frozenset(
    ("biogpt", "codegen", "deepseek_v3", "falcon", "gemma", "gpt2", "gpt_bigcode", "gpt_neox", "gptj", "granite")
) | {"llama", "mistral", "olmo2", "opt", "phi", "qwen2", "qwen3", "smollm3", "stablelm", "xglm"}
"""Models of ``transformers`` whose rows are tested to say in slots what each says alone. Others may count places of
the cache whatever the mask and the positions (GPT-Neo, MPT), have no cache, or take it apart in a way of their own."""


def suits(model: Any) -> bool:
    """Whether rows may stand at places of their own: a tested model of which every layer sees all that came before.

    A sliding window counts places. Frequencies that change with the longest row (dynamic, LongRoPE) change for all.
    """
    inner = unwrapped(model)
    config = inner.config
    if config.model_type not in SUITED or not type(inner).__module__.startswith("transformers."):
        return False
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    layers = DynamicCache(config=config).layers
    return rotary not in ("dynamic", "longrope") and bool(layers) and all(type(one) is DynamicLayer for one in layers)


def room(widths: Sequence[int], budget: int) -> int:
    """Tokens to make room for: ``budget``, but no more than all rows take and no less than the longest of them."""
    return max(max(widths), min(budget, sum(widths)))


KeysValues = tuple[Tensor, Tensor]


@dataclass
class _Row:
    place: int
    said: list[int]
    length: int
    """Tokens of which the cache holds keys and values."""


@dataclass
class _Layout:
    """How the room is shared out, and what the pass under way reads and writes.

    Attributes:
        room: tokens in all.
        width: tokens of a slot.
        slots: those of the pass.
        seen: tokens of each that came before; of the longest where ``lengths`` has those of every row.
    """

    room: int
    width: int
    slots: slice = field(default_factory=lambda: slice(0))
    seen: int = 0
    lengths: Tensor | None = None

    @property
    def count(self) -> int:
        return self.room // self.width


class Slots:
    """Rows under way, in ``room`` tokens.

    ``model``: of ``transformers``, not wrapped. ``beginning``: keys and values (1, heads, tokens, head size) of each
    layer for tokens that all prompts begin with; prompts are then given without them.
    """

    def __init__(self, model: Any, room: int, beginning: Sequence[KeysValues] = ()) -> None:
        self._model, self._beginning = model, beginning
        self._begun = beginning[0][0].shape[2] if beginning else 0
        self._device = next(model.parameters()).device
        self._layout = _Layout(room, room)
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        self._layers = [_Layer(self._layout) for _ in range(layers)]
        self._cache = Cache(layers=list(self._layers))

    @property
    def room(self) -> int:
        return self._layout.room

    @property
    def held(self) -> list[Tensor]:
        """Keys and values of all layers; none before the first pass."""
        return [tensor for layer in self._layers for tensor in layer.held]

    def answer(self, prompts: Sequence[list[int]], end: int, new_tokens: int) -> Iterator[tuple[int, list[int]]]:
        """(place in ``prompts``, new tokens with the end token) of each, as they end.

        ``prompts``: the longest first, each with ``new_tokens`` within the room.
        """
        waiting, rows = deque(range(len(prompts))), list[_Row]()
        if prompts:
            self.resize(self._begun + len(prompts[0]) + new_tokens)
        while waiting or rows:
            self._share_out(prompts, waiting, rows, new_tokens)
            while waiting and len(rows) < self._layout.count:
                rows += self._read(prompts, waiting, len(rows))
            for slot in reversed(range(len(rows))):
                row = rows[slot]
                if row.said[-1] == end or len(row.said) >= new_tokens:
                    yield row.place, row.said
                    last = rows.pop()
                    if slot < len(rows):
                        rows[slot] = last
                        self._move(len(rows), slot, last.length)
            if rows and (len(rows) == self._layout.count or not waiting):
                self._step(rows)

    def _share_out(self, prompts: Sequence[list[int]], waiting: deque[int], rows: list[_Row], new_tokens: int) -> None:
        """As many slots as have room for the longest row of those under way and those to come."""
        if not waiting:
            return
        longest = max(len(prompts[place]) for place in [waiting[0], *(row.place for row in rows)])
        width = self._begun + longest + new_tokens
        if self._layout.room // width >= MORE_SLOTS * self._layout.count:
            self.resize(width, [row.length for row in rows])

    def resize(self, width: int, lengths: Sequence[int] = ()) -> None:
        """Slots of this width, no wider than before where there are rows under way, whose ``lengths`` are kept."""
        for layer in self._layers:
            layer.narrow(width, lengths)
        self._layout.width = width

    def _read(self, prompts: Sequence[list[int]], waiting: deque[int], taken: int) -> list[_Row]:
        """The next prompts, as many as have a slot and fit in one pass. What pads a row stands behind it, where it
        sees nothing of it."""
        most, width = self.reading(len(prompts[waiting[0]]))
        places = [waiting.popleft() for _ in range(min(most, len(waiting), self._layout.count - taken))]
        ids, last = torch.zeros(len(places), width, dtype=torch.long), torch.zeros(len(places), width, dtype=torch.bool)
        for row, place in enumerate(places):
            ids[row, : len(prompts[place])] = torch.tensor(prompts[place])
            last[row, len(prompts[place]) - 1] = True
        with output_only_at(self._model, last.to(self._device)):
            said = _likeliest(self.read(ids, taken))
        lengths = [self._begun + len(prompts[place]) for place in places]
        return [_Row(place, [token], length) for place, token, length in zip(places, said, lengths, strict=True)]

    def _step(self, rows: list[_Row]) -> None:
        said = _likeliest(self.go_on([row.said[-1] for row in rows], [row.length for row in rows]))
        for row, token in zip(rows, said, strict=True):
            row.said.append(token)
            row.length += 1

    def reading(self, longest: int) -> tuple[int, int]:
        """(most rows, width) of a pass whose longest prompt has so many tokens, in the slots as they are."""
        # Of like widths, because oneDNN keeps a kernel with its memory for every shape.
        width = min(bucket(longest), self._layout.width - self._begun)
        return min(self._layout.count, max(1, READ_AT_ONCE // width)), width

    def read(self, ids: Tensor, taken: int) -> Tensor:
        """Logits of a pass over new prompts (B, T), in the slots behind the first ``taken``."""
        self._layout.slots = slice(taken, taken + len(ids))
        self._layout.seen, self._layout.lengths = self._begun, None
        if self._beginning:
            for layer, begun in zip(self._layers, self._beginning, strict=True):
                layer.begin(begun)
        return self._pass(input_ids=ids.to(self._device))

    def go_on(self, tokens: Sequence[int], lengths: Sequence[int]) -> Tensor:
        """Logits (rows, 1, V) of one more token each, behind so many."""
        lengths_B, seen = torch.tensor(lengths, device=self._device), max(lengths)
        self._layout.slots, self._layout.seen, self._layout.lengths = slice(0, len(lengths)), seen, lengths_B
        return self._pass(
            input_ids=torch.tensor(tokens, device=self._device)[:, None],
            attention_mask=(torch.arange(seen + 1, device=self._device) <= lengths_B[:, None]).long(),
            position_ids=lengths_B[:, None],
        )

    def _pass(self, **inputs: Tensor) -> Tensor:
        logits: Tensor = self._model(**inputs, past_key_values=self._cache, use_cache=True).logits
        return logits

    def _move(self, source: int, target: int, length: int) -> None:
        for layer in self._layers:
            layer.move(source, target, length)


def _likeliest(logits: Tensor) -> list[int]:
    return list(logits.reshape(-1, logits.shape[-1]).float().argmax(-1).tolist())


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, each (heads, room, head size): heads first, so that any slots are a view."""

    def __init__(self, layout: _Layout) -> None:
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
        """Keys and values, each (slots, heads, width, head size)."""
        count, width = self._layout.count, self._layout.width
        return [
            held[:, : count * width].view(held.shape[0], count, width, held.shape[2]).transpose(0, 1)
            for held in self.held
        ]

    def begin(self, beginning: KeysValues) -> None:
        if not self.is_initialized:
            self.lazy_initialization(*beginning)
        for held, begun in zip(self._slots(), beginning, strict=True):
            held[self._layout.slots, :, : begun.shape[2]] = begun

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        layout, new = self._layout, key_states.shape[2]
        found = []
        for held, states in zip(self._slots(), (key_states, value_states), strict=True):
            rows = held[layout.slots]
            if layout.lengths is None:
                rows[:, :, layout.seen : layout.seen + new] = states
            else:
                rows[torch.arange(len(rows), device=rows.device), :, layout.lengths] = states[:, :, 0]
            found.append(rows[:, :, : layout.seen + new])
        return found[0], found[1]

    def move(self, source: int, target: int, length: int) -> None:
        for held in self._slots():
            held[target, :, :length] = held[source, :, :length]

    def narrow(self, width: int, lengths: Sequence[int]) -> None:
        for held, slots in zip(self.held, self._slots(), strict=True):
            for slot, length in enumerate(lengths):
                # Slots move towards the beginning, so none is written over before it has moved, but perhaps itself.
                held[:, slot * width : slot * width + length] = slots[slot, :, :length].clone()

    def get_seq_length(self) -> int:
        return self._layout.seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._layout.seen + query_length, 0

    def get_max_length(self) -> int:
        return self._layout.width
