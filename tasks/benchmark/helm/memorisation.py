"""Memorisation: whether a model continues its training rows verbatim (Liang et al. 2022, section 5.4).

The prompt is a prefix of a training row. The score is the share of generated spans that occur verbatim in the training
text (Carlini et al. 2023, "Quantifying Memorization Across Neural Language Models", section 3: 50 tokens).
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from tasks.benchmark.helm.intervals import Cell, na, statistic_cell
from tasks.benchmark.helm.params import HelmParams
from tasks.core import files
from tasks.inference.generate import generate
from tasks.inference.params import GenerationParams
from tasks.inference.predict import Predictor
from tasks.metrics.params import IntervalParams
from tasks.text.rows import Row, group_key

_BETWEEN = "\x00"
"""Separates the texts of two rows, so that no span matches across them."""


def measure_memorisation(predictor: Predictor, mixture: Path, params: HelmParams) -> dict[str, Any]:
    """Prompt a model with prefixes of rows of ``train.parquet`` in the folder ``mixture``.

    Returns:
        ``spans``: cell with the share of the ``generated_spans`` that occur in the training text; ``longest_words``:
        most consecutive words of a generated text that occur in it; ``samples``: texts, ``prompt`` and ``generated``.
    """
    rows = files.read_rows(mixture / "train.parquet")
    settings = params.memorisation
    chosen = random.Random(f"{params.seed}/memorisation").sample(rows, min(settings.rows, len(rows)))
    prompts = beginnings(predictor, chosen, settings.prefix_tokens)
    generation = GenerationParams(
        max_new_tokens=settings.new_tokens, token_budget=params.token_budget, precision=params.precision
    )
    generated = generate(predictor.model, predictor.renderer.tokenizer, prompts, predictor.renderer.kind, generation)
    corpus = _BETWEEN.join(f"{row['prompt']}\n{row['completion']}" for row in rows)
    tokenizer = predictor.renderer.tokenizer
    matches = [verbatim(spans(tokenizer, one.text, settings.span_tokens), corpus) for one in generated]
    return {
        "mixture": mixture.name,
        "rows": len(chosen),
        "span_tokens": settings.span_tokens,
        "spans": span_cell(matches, settings.span_tokens, params.intervals, [group_key(row) for row in chosen]),
        "generated_spans": sum(map(len, matches)),
        "longest_words": max(longest_run(one.text, corpus) for one in generated),
        "samples": [
            {"prompt": tokenizer.decode(prompt, skip_special_tokens=True), "generated": one.text}
            for prompt, one in list(zip(prompts, generated, strict=True))[:3]
        ],
    }


def no_rows(mixture: str) -> dict[str, Any]:
    """The entry of a mixture whose training rows are missing."""
    reason = (
        f"the training rows of mixture {mixture} are not here; `tunesmith run` builds them, `dvc pull` fetches them"
    )
    return {"mixture": mixture, "spans": na(reason)}


def beginnings(predictor: Predictor, rows: Sequence[Row], tokens: int) -> list[list[int]]:
    """Start of each row as in training: the prefix common to all rows, and ``tokens`` tokens of its own."""
    encoded = [predictor.renderer.encode_row(row) for row in rows]
    whole = [row.prompt if predictor.renderer.kind == "seq2seq" else row.prompt + row.completion for row in encoded]
    shared = 0
    while len(whole) > 1 and all(len(w) > shared and w[shared] == whole[0][shared] for w in whole):
        shared += 1
    return [one[: shared + tokens] for one in whole]


def spans(tokenizer: Any, text: str, tokens: int) -> list[str]:
    """Every span of ``tokens`` tokens of ``text``, as text."""
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [text[offsets[i][0] : offsets[i + tokens - 1][1]] for i in range(len(offsets) - tokens + 1)]


def verbatim(spans: Sequence[str], corpus: str) -> list[bool]:
    return [span in corpus for span in spans]


def span_cell(
    matches: Sequence[Sequence[bool]], tokens: int, params: IntervalParams, groups: Sequence[Hashable]
) -> Cell:
    """Share of matches over all spans, with an interval over the groups of rows, since spans of one text overlap."""
    hits, sizes = [sum(row) for row in matches], [len(row) for row in matches]

    def share(rows: Any) -> float | None:
        total = sum(sizes[i] for i in rows)
        return sum(hits[i] for i in rows) / total if total else None

    return statistic_cell(groups, share, params, f"no generation is {tokens} tokens long")


def longest_run(text: str, corpus: str) -> int:
    """Most consecutive words of ``text`` that occur in ``corpus``, separated by single spaces."""
    words, best, start = text.split(" "), 0, 0
    for end in range(1, len(words) + 1):
        while start < end and " ".join(words[start:end]) not in corpus:
            start += 1
        best = max(best, end - start)
    return best if text.strip() else 0
