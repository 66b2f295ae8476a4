"""Cost of a benchmark before it runs: rows, tokens, and time, estimated from timed batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tasks.benchmark.harness.build import Built
from tasks.benchmark.harness.run_task import requests
from tasks.benchmark.params import BenchmarkSettings

_TRIED_TOKENS = 8
"""New tokens in the batch that times generation."""


@dataclass(frozen=True)
class TaskCost:
    """Cost of one task on one model.

    Attributes:
        rows: evaluated rows.
        tokens: tokens read: every prompt with each of its choices; choices of one token share a pass.
        new_tokens: most tokens that may be generated.
        cut: prompts that are longer than the model's context; they are cut at the start.
    """

    rows: int
    tokens: int
    new_tokens: int
    cut: int


@dataclass(frozen=True)
class Speed:
    """Seconds per token that is read, and per token that is generated."""

    read: float
    generate: float

    def seconds(self, cost: TaskCost) -> float:
        return cost.tokens * self.read + cost.new_tokens * self.generate


def task_cost(lm: Any, built: Built, settings: BenchmarkSettings) -> TaskCost:
    """Count the tokens of ``built``, without running the model."""
    lengths: dict[str, int] = {}
    passes: set[tuple[str, str]] = set()
    tokens = new_tokens = cut = 0
    context, room = lm.max_length, 0
    for request in requests(lm, built, settings):
        prompt, second = request.args
        if prompt not in lengths:
            lengths[prompt] = len(lm.tok_encode(prompt)) or 1
        length = lengths[prompt]
        if isinstance(second, dict):
            room = int(second.get("max_gen_toks", lm.max_gen_toks))
            tokens, new_tokens = tokens + length, new_tokens + room
            cut += length + room > context
            continue
        choice = len(lm.tok_encode(second, add_special_tokens=False))
        cut += length + choice > context + 1
        shared = (prompt, second if choice > 1 else "")
        if shared not in passes:
            passes.add(shared)
            tokens += length + choice - 1
    return TaskCost(built.count, tokens, new_tokens, cut)


def speed(lm: Any, built: list[Built]) -> Speed:
    """Time one batch of median length per kind of request, after a warm-up. Needs the requests of ``built``."""
    read = generate = 0.0
    instances = [instance for one in built for instance in one.task.instances]
    choices = sorted((i for i in instances if not isinstance(i.args[1], dict)), key=lambda i: len(i.args[0]))
    texts = sorted((i for i in instances if isinstance(i.args[1], dict)), key=lambda i: len(i.args[0]))
    middle = len(choices) // 2
    if batch := choices[middle : middle + lm.batch_size]:
        lm.loglikelihood(batch[:1])
        pairs = {(i.args[0], i.args[1]) for i in batch}
        size = sum(len(lm.tok_encode(prompt)) for prompt in {prompt for prompt, _ in pairs})
        read = _timed(lambda: lm.loglikelihood(batch)) / max(1, size)
    middle = len(texts) // 2
    if batch := texts[middle : middle + lm.batch_size]:
        size = sum(len(lm.tok_encode(i.args[0])) for i in batch)
        one, many = (_generation_seconds(lm, batch, tokens) for tokens in (1, 1 + _TRIED_TOKENS))
        read = read or one / max(1, size)
        generate = max(0.0, many - one) / (_TRIED_TOKENS * len(batch))
    return Speed(read, generate)


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _generation_seconds(lm: Any, batch: list[Any], tokens: int) -> float:
    return _timed(lambda: lm.generate_until([_shorter(request, tokens) for request in batch]))


def _shorter(request: Any, tokens: int) -> Any:
    """The same request, for at most ``tokens`` new tokens."""
    from lm_eval.api.instance import Instance

    prompt, how = request.args
    return Instance(
        request_type="generate_until",
        doc=request.doc,
        arguments=(prompt, {**how, "max_gen_toks": tokens}),
        idx=0,
        metadata=(request.task_name, request.doc_id, 1),
    )
