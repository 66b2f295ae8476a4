"""Greedy generation of a decoder in slots: a finished row gives its slot to the next one, and no padding is kept.

``generate`` of ``transformers`` keeps a batch until its longest output has ended. It pads every prompt to the longest,
and copies all keys and values at each step to append one. Here each row has a slot, a part of one tensor, and positions
behind the row's own length are masked: continuous batching (Yu et al. 2022, Orca).

A pass of the model is one sequence of tokens: the last token of each active row, then whole new prompts. So the model
reads prompts in the passes that generate (Agrawal et al. 2023, Sarathi).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
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
"""Most prompt tokens per pass: enough for fast matrix products, but little memory compared with the cache."""

MORE_SLOTS = 1.25
"""Slots become narrower if the remaining, shorter rows let this many times as many fit; narrowing copies the cache."""


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


@dataclass
class _Row:
    """An active row.

    Attributes:
        index: index of its prompt.
        output: tokens generated so far.
        length: tokens whose keys and values the cache holds.
    """

    index: int
    output: list[int]
    length: int


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

    def generate(
        self, prompts: Sequence[list[int]], stops: Collection[int], new_tokens: int
    ) -> Iterator[tuple[int, list[int]]]:
        """Yield (index of the prompt, new tokens with the stop token) of each row, as they end.

        Args:
            prompts: longest first, each with ``new_tokens`` within ``room``.
            stops: tokens that end an output.
            new_tokens: most new tokens per row.
        """
        waiting, rows = deque(range(len(prompts))), list[_Row]()
        if prompts:
            self.resize(self._prefix_length + len(prompts[0]) + new_tokens)
        while waiting or rows:
            self._narrow(prompts, waiting, rows, new_tokens)
            free = self._layout.count - len(rows)
            count = read_together([len(prompts[index]) for index in islice(waiting, free)])
            read = [waiting.popleft() for _ in range(count)]
            self._step(rows, [(index, prompts[index]) for index in read])
            for slot in reversed(range(len(rows))):
                row = rows[slot]
                if row.output[-1] in stops or len(row.output) >= new_tokens:
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
        """Set the width of the slots; keep the first ``lengths`` tokens of active rows, with which it must not grow."""
        for layer in self._layers:
            layer.narrow(width, lengths)
        self._layout.width = width

    def _step(self, rows: list[_Row], new: Sequence[tuple[int, list[int]]]) -> None:
        """Generate a token per row; the ``new`` prompts become rows."""
        active, prompts = [(row.output[-1], row.length) for row in rows], [tokens for _, tokens in new]
        # Logits of the token of each active row, and of the last token of each new prompt.
        wanted = [True] * len(active) + [i == len(ids) - 1 for ids in prompts for i in range(len(ids))]
        wanted += [False] * (self._padded(len(wanted)) - len(wanted))
        with output_only_at(self._model, torch.tensor([wanted], device=self._device)):
            logits = self.run(active, prompts)
        likeliest = iter(logits.reshape(-1, logits.shape[-1]).float().argmax(-1).tolist())
        for row in rows:
            row.output.append(next(likeliest))
            row.length += 1
        for index, tokens in new:
            rows.append(_Row(index, [next(likeliest)], self._prefix_length + len(tokens)))

    def run(self, rows: Sequence[tuple[int, int]], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Run a pass and return its logits.

        Args:
            rows: active rows, in the first slots: the last token of each, and the number of tokens cached before it.
            prompts: new prompts, in the next slots.
        """
        before, lengths = [length for _, length in rows], [len(prompt) for prompt in prompts]
        current = Pass(self._layout, before, lengths, self._prefix_length, self._device)
        slots = slice(len(rows), len(rows) + len(prompts))
        if self._prefix and prompts:
            for layer, keys_values in zip(self._layers, self._prefix, strict=True):
                layer.insert_prefix(keys_values, slots)
        ids = [*(token for token, _ in rows), *(token for prompt in prompts for token in prompt)]
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
