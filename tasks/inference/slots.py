"""Greedy answers of a decoder in slots: a row that has ended gives its slot to the next, and no padding is kept.

``generate`` of ``transformers`` holds a batch together until its longest answer has ended, pads every prompt to the
longest, and copies all keys and values at each step to add one. Here each row has a stretch of one tensor from its
first place on, and what lies behind its own length is masked: continuous batching (Yu et al. 2022, Orca).

A pass of the model is one sequence of tokens: of each row under way the last one, and behind it drafts; then new
prompts, whole. So prompts are read while the weights are at hand for the rows under way (Agrawal et al. 2023,
Sarathi). Drafts are what followed when the row's last tokens stood in it before (prompt lookup, Saxena 2023); those
that the model would have said itself are taken, so that they change how many passes there are, and no
answer but for rounding.
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
"""Most tokens of the prompts that are read in one pass: enough for matrix products, little beside the cache."""

DRAFTS = 4
"""Most drafts of a row in a pass."""

_MATCHED = (3, 2)
"""How many last tokens must have stood in the row before, most first."""

MORE_SLOTS = 1.25
"""Slots are made narrower where so many times as many have room, as rows get shorter: it copies what they hold."""


SUITED = frozenset(
    ("biogpt", "deepseek_v3", "gemma", "gpt2", "gpt_bigcode", "gpt_neox", "granite", "llama", "mistral", "olmo2")
) | {"opt", "phi", "qwen2", "qwen3", "smollm3", "stablelm"}
"""Models of ``transformers`` whose rows are tested to say in slots what each says alone. Others compute attention in a
way of their own (GPT-J, Falcon), count places of the cache (GPT-Neo, MPT), or have none."""


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


class _Lookup:
    """The tokens of a row, and what followed where its last ones stood before."""

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
        for count in _MATCHED:
            place = self._followed.get(tuple(self._tokens[-count:]))
            if place is not None:
                return self._tokens[place : place + min(most, DRAFTS)]
        return []


@dataclass
class _Row:
    place: int
    said: list[int]
    length: int
    """Tokens of which the cache holds keys and values."""
    lookup: _Lookup

    def say(self, tokens: Sequence[int], end: int) -> None:
        for token in tokens:
            self.said.append(token)
            self.lookup.add(token)
            if token == end:
                return


class Slots:
    """Rows under way, in ``room`` tokens.

    ``model``: of ``transformers``, not wrapped. ``beginning``: keys and values (1, heads, tokens, head size) of each
    layer for tokens that all prompts begin with; prompts are then given without them.
    """

    def __init__(self, model: Any, room: int, beginning: Sequence[KeysValues] = ()) -> None:
        self._model, self._beginning = model, beginning
        self._begun = beginning[0][0].shape[2] if beginning else 0
        self._device = next(model.parameters()).device
        self._layout = Layout(room, room)
        layers = model.config.get_text_config(decoder=True).num_hidden_layers
        self._layers = [Layer(self._layout) for _ in range(layers)]
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
            free = self._layout.count - len(rows)
            read = [waiting.popleft() for _ in range(together([len(prompts[at]) for at in islice(waiting, free)]))]
            self._go_on(rows, [(place, prompts[place]) for place in read], end, new_tokens)
            for slot in reversed(range(len(rows))):
                row = rows[slot]
                if row.said[-1] == end or len(row.said) >= new_tokens:
                    yield row.place, row.said
                    last = rows.pop()
                    if slot < len(rows):
                        rows[slot] = last
                        self._move(len(rows), slot, last.length)

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

    def _go_on(self, rows: list[_Row], new: Sequence[tuple[int, list[int]]], end: int, new_tokens: int) -> None:
        """Each row says one more token, or more where its drafts are right; ``new`` prompts become rows."""
        asked = [[row.said[-1], *row.lookup.drafts(new_tokens - len(row.said) - 1)] for row in rows]
        lengths = [row.length for row in rows]
        wanted = [True] * sum(map(len, asked)) + [at == len(some) - 1 for _, some in new for at in range(len(some))]
        wanted += [False] * (self._filled(len(wanted)) - len(wanted))
        with output_only_at(self._model, torch.tensor([wanted], device=self._device)):
            logits = self.run(list(zip(asked, lengths, strict=True)), [tokens for _, tokens in new])
        likeliest = iter(logits.reshape(-1, logits.shape[-1]).float().argmax(-1).tolist())
        for row, tokens in zip(rows, asked, strict=True):
            said = [next(likeliest) for _ in tokens]
            right = next((i for i, draft in enumerate(tokens[1:]) if draft != said[i]), len(tokens) - 1)
            row.say(said[: right + 1], end)
            row.length += right + 1
        for place, tokens in new:
            token = next(likeliest)
            rows.append(_Row(place, [token], self._begun + len(tokens), _Lookup([*tokens, token])))

    def run(self, rows: Sequence[tuple[Sequence[int], int]], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Logits of a pass over the tokens of ``rows`` in the first slots, each with how many came before, and over
        new ``prompts`` in the next ones."""
        now = Pass(self._layout, rows, [len(prompt) for prompt in prompts], self._begun, self._device)
        slots = slice(len(rows), len(rows) + len(prompts))
        if self._beginning and prompts:
            for layer, begun in zip(self._layers, self._beginning, strict=True):
                layer.begin(begun, slots)
        ids = [token for tokens in (*(tokens for tokens, _ in rows), *prompts) for token in tokens]
        inputs_2T = torch.stack([torch.tensor(ids, device=self._device), now.positions_T])
        inputs_2T = pad(inputs_2T, (0, self._filled(len(ids)) - len(ids)))
        with attending(self._model.config, now):
            logits: Tensor = self._model(
                input_ids=inputs_2T[:1], position_ids=inputs_2T[1:], past_key_values=self._cache, use_cache=True
            ).logits
        return logits

    def _filled(self, tokens: int) -> int:
        """Tokens of a pass with those that fill it up and are kept nowhere: in bf16 oneDNN keeps a kernel with its
        memory for every shape."""
        return bucket(tokens) if self._model.dtype == torch.bfloat16 else tokens

    def _move(self, source: int, target: int, length: int) -> None:
        for layer in self._layers:
            layer.move(source, target, length)


def together(lengths: Sequence[int]) -> int:
    """How many of prompts of these lengths are read in one pass: the first, and those after it in ``READ_AT_ONCE``."""
    count, tokens = 0, 0
    for length in lengths:
        tokens += length
        if count and tokens > READ_AT_ONCE:
            break
        count += 1
    return count
