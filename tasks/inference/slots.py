"""Greedy generation of a decoder in slots: a finished row gives its slot to the next one, and no padding is kept.

``generate`` of ``transformers`` keeps a batch until its longest output has ended. It pads every prompt to the longest,
and copies all keys and values at each step to append one. Here each row has a slot, a part of one tensor, and positions
behind the row's own length are masked: continuous batching (Yu et al. 2022, Orca).

A pass of the model is one sequence of tokens: the last token of each active row with its drafts, then whole new
prompts. So the model reads prompts in the passes that generate (Agrawal et al. 2023, Sarathi). Drafts are the tokens
that followed the row's last tokens earlier in the row (prompt lookup, Saxena 2023). Only drafts that the model would
generate itself are accepted, so they change the number of passes, and outputs only by rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from tasks.inference.passes import KeysValues, Layer, Layout, Pass, attending
from tasks.model.batches import bucket
from tasks.model.unwrap import output_only_at, unwrapped

READ_AT_ONCE = 512
"""Prompt tokens per pass at most: enough for fast matrix products, little memory compared with the cache."""

DRAFTS = 4
"""Drafts per row and pass at most."""

_MATCHED = (3, 2)
"""Last tokens that must occur earlier in the row, in the order of the attempts."""

MORE_SLOTS = 1.25
"""Slots become narrower once this many times as many fit, since the remaining rows are shorter; it copies the cache."""


SUITED = frozenset(
    ("biogpt", "deepseek_v3", "gemma", "gpt2", "gpt_bigcode", "gpt_neox", "granite", "llama", "mistral", "olmo2")
) | {"opt", "phi", "qwen2", "qwen3", "smollm3", "stablelm"}
"""Model types of ``transformers`` that are tested to generate in slots what they generate for each row alone.

Others have an attention of their own (GPT-J, Falcon), count positions of the cache (GPT-Neo, MPT), or have no cache."""


def suits(model: Any) -> bool:
    """Whether ``model`` can generate in slots: a tested type, and every layer attends to all earlier tokens.

    A sliding window counts positions of the cache. Rotary frequencies that depend on the longest row (dynamic,
    LongRoPE) would depend on the other rows.
    """
    inner = unwrapped(model)
    config = inner.config
    if config.model_type not in SUITED or not type(inner).__module__.startswith("transformers."):
        return False
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    layers = DynamicCache(config=config).layers
    return rotary not in ("dynamic", "longrope") and bool(layers) and all(type(one) is DynamicLayer for one in layers)


def room(widths: Sequence[int], budget: int) -> int:
    """Return the tokens of the cache: ``budget``, but at most those of all rows and at least those of the longest."""
    return max(max(widths), min(budget, sum(widths)))


class _Lookup:
    """The tokens of a row, with an index of earlier occurrences of its last tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._followed: dict[tuple[int, ...], int] = {}
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        for count in _MATCHED:
            if len(self._tokens) >= count:
                self._followed[tuple(self._tokens[-count:])] = len(self._tokens)
        self._tokens.append(token)

    def drafts(self, most: int) -> list[int]:
        """Return up to ``most`` tokens that followed the last ones before; none if these are new."""
        for count in _MATCHED:
            position = self._followed.get(tuple(self._tokens[-count:]))
            if position is not None:
                return self._tokens[position : position + min(most, DRAFTS)]
        return []


@dataclass
class _Row:
    """An active row.

    Attributes:
        index: of its prompt.
        output: tokens generated so far.
        length: tokens whose keys and values the cache holds.
        lookup: source of its drafts.
    """

    index: int
    output: list[int]
    length: int
    lookup: _Lookup

    def append(self, tokens: Sequence[int], end: int) -> None:
        """Append generated tokens up to the end token."""
        for token in tokens:
            self.output.append(token)
            self.lookup.add(token)
            if token == end:
                return


class Slots:
    """The active rows, and a cache of ``room`` tokens.

    Args:
        model: a model of ``transformers``, not wrapped.
        room: tokens of the cache.
        prefix: keys and values (1, heads, tokens, head size) of each layer, for tokens that all prompts start with;
            prompts then come without these tokens.
    """

    def __init__(self, model: Any, room: int, prefix: Sequence[KeysValues] = ()) -> None:
        self._model, self._prefix = model, prefix
        self._prefix_length = prefix[0][0].shape[2] if prefix else 0
        self._device = next(model.parameters()).device
        self._layout = Layout(room, room)
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        self._layers = [Layer(self._layout) for _ in range(layers)]
        self._cache = Cache(layers=list(self._layers))

    @property
    def room(self) -> int:
        """Tokens of the cache."""
        return self._layout.room

    @property
    def held(self) -> list[Tensor]:
        """The keys and values of all layers; none before the first pass."""
        return [tensor for layer in self._layers for tensor in layer.held]

    def generate(self, prompts: Sequence[list[int]], end: int, new_tokens: int) -> Iterator[tuple[int, list[int]]]:
        """Yield (index of the prompt, new tokens with the end token) of each row, as they end.

        Args:
            prompts: longest first, each with ``new_tokens`` within ``room``.
            end: the end token.
            new_tokens: new tokens per row at most.
        """
        waiting, rows = deque(range(len(prompts))), list[_Row]()
        if prompts:
            self.resize(self._prefix_length + len(prompts[0]) + new_tokens)
        while waiting or rows:
            self._narrow(prompts, waiting, rows, new_tokens)
            free = self._layout.count - len(rows)
            count = read_together([len(prompts[index]) for index in islice(waiting, free)])
            read = [waiting.popleft() for _ in range(count)]
            self._step(rows, [(index, prompts[index]) for index in read], end, new_tokens)
            for slot in reversed(range(len(rows))):
                row = rows[slot]
                if row.output[-1] == end or len(row.output) >= new_tokens:
                    yield row.index, row.output
                    last = rows.pop()
                    if slot < len(rows):
                        rows[slot] = last
                        self._move(len(rows), slot, last.length)

    def _narrow(self, prompts: Sequence[list[int]], waiting: deque[int], rows: list[_Row], new_tokens: int) -> None:
        """Make as many slots as fit for the longest row, active or waiting."""
        if not waiting:
            return
        longest = max(len(prompts[index]) for index in [waiting[0], *(row.index for row in rows)])
        width = self._prefix_length + longest + new_tokens
        if self._layout.room // width >= MORE_SLOTS * self._layout.count:
            self.resize(width, [row.length for row in rows])

    def resize(self, width: int, lengths: Sequence[int] = ()) -> None:
        """Set the width of the slots, and keep the ``lengths`` of active rows; with these it must not grow."""
        for layer in self._layers:
            layer.narrow(width, lengths)
        self._layout.width = width

    def _step(self, rows: list[_Row], new: Sequence[tuple[int, list[int]]], end: int, new_tokens: int) -> None:
        """Generate a token per row, or more if its drafts are right; the ``new`` prompts become rows."""
        inputs = [[row.output[-1], *row.lookup.drafts(new_tokens - len(row.output) - 1)] for row in rows]
        lengths = [row.length for row in rows]
        # Logits of all tokens of active rows, and of the last token of each new prompt.
        wanted = [True] * sum(map(len, inputs)) + [i == len(ids) - 1 for _, ids in new for i in range(len(ids))]
        wanted += [False] * (self._padded(len(wanted)) - len(wanted))
        with output_only_at(self._model, torch.tensor([wanted], device=self._device)):
            logits = self.run(list(zip(inputs, lengths, strict=True)), [tokens for _, tokens in new])
        likeliest = iter(logits.reshape(-1, logits.shape[-1]).float().argmax(-1).tolist())
        for row, tokens in zip(rows, inputs, strict=True):
            generated = [next(likeliest) for _ in tokens]
            accepted = next((i for i, draft in enumerate(tokens[1:]) if draft != generated[i]), len(tokens) - 1)
            row.append(generated[: accepted + 1], end)
            row.length += accepted + 1
        for index, tokens in new:
            token = next(likeliest)
            rows.append(_Row(index, [token], self._prefix_length + len(tokens), _Lookup([*tokens, token])))

    def run(self, rows: Sequence[tuple[Sequence[int], int]], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Run a pass and return its logits.

        Args:
            rows: active rows, in the first slots: the tokens of each, and the length of what is cached before them.
            prompts: new prompts, in the next slots.
        """
        current = Pass(self._layout, rows, [len(prompt) for prompt in prompts], self._prefix_length, self._device)
        slots = slice(len(rows), len(rows) + len(prompts))
        if self._prefix and prompts:
            for layer, keys_values in zip(self._layers, self._prefix, strict=True):
                layer.insert_prefix(keys_values, slots)
        ids = [token for tokens in (*(tokens for tokens, _ in rows), *prompts) for token in tokens]
        inputs_2T = torch.stack([torch.tensor(ids, device=self._device), current.positions_T])
        inputs_2T = pad(inputs_2T, (0, self._padded(len(ids)) - len(ids)))
        with attending(self._model.config, current):
            logits: Tensor = self._model(
                input_ids=inputs_2T[:1], position_ids=inputs_2T[1:], past_key_values=self._cache, use_cache=True
            ).logits
        return logits

    def _padded(self, tokens: int) -> int:
        """Round up the tokens of a pass in bf16, where oneDNN keeps a kernel for every shape."""
        return bucket(tokens) if self._model.dtype == torch.bfloat16 else tokens

    def _move(self, source: int, target: int, length: int) -> None:
        for layer in self._layers:
            layer.move(source, target, length)


def read_together(lengths: Sequence[int]) -> int:
    """Count the prompts of one pass: the first, and those after it that fit into ``READ_AT_ONCE``."""
    count, tokens = 0, 0
    for length in lengths:
        tokens += length
        if count and tokens > READ_AT_ONCE:
            break
        count += 1
    return count
