"""The label contract: checks and counts of the training rows before the first step. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.core.errors import TunesmithError
from tasks.model.batches import token_budget_batches
from tasks.model.rendering import Encoded, Renderer
from tasks.text.rows import Row
from tasks.tuning.params import TrainedParams


@dataclass
class _Part:
    """Rows of one part: the kept ones as tokens, those that are too long, and the number of cut prompts."""

    kept: list[tuple[Row, Encoded]] = field(default_factory=list)
    too_long: list[tuple[Row, int]] = field(default_factory=list)
    truncated: int = 0


def encode_rows(
    rows: list[Row], renderer: Renderer, params: TrainedParams, part: str
) -> tuple[list[Encoded], dict[str, Any]]:
    """Encode the rows that fit ``max_length``, and build the contract of this part.

    Keys of the contract:
        rows: rows kept.
        dropped: reason → rows.
        truncated: ``side``, and ``rows`` whose prompt was cut.
        tokens, supervised_tokens: their numbers in all kept rows; every token of a completion is supervised.
        end_token_rows: rows whose labels hold the end token.
        prompt_tokens, completion_tokens: ``min``, ``mean``, ``median``, ``p95`` and ``max`` per row.
        padding_share: padding as a share of all tokens of the batches.
        samples: task → its first row decoded, with the supervised text in ``[[…]]``.

    Raises:
        TunesmithError: a completion alone does not fit; labels have no text, no end token, or an end token inside the
            text; or more than ``max_dropped`` of the rows do not fit.
    """
    end = renderer.tokenizer.eos_token_id
    result = _Part()
    for row in rows:
        encoded = renderer.encode(row["prompt"], row["completion"])
        _refuse_unlearnable(row, encoded, end, params, part)
        length = _length(encoded, renderer)
        if length > params.max_length and params.truncate is not None:
            shorter = _with_shorter_prompt(row, encoded, renderer, params)
            result.truncated += shorter is not None
            encoded = shorter or encoded
        if _length(encoded, renderer) > params.max_length:
            result.too_long.append((row, length))
        else:
            result.kept.append((row, encoded))
    _refuse_dropped(result.too_long, len(rows), params, part)
    return [encoded for _, encoded in result.kept], _describe(result, renderer, params, end)


def summary(name: str, part: str, contract: dict[str, Any]) -> str:
    """Format a contract as one line for the log."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in contract["dropped"].items()) or "none"
    return (
        f"{name}: {contract['rows']} {part} rows, {contract['tokens']} tokens, {contract['supervised_tokens']} "
        f"supervised; dropped: {dropped}; padding {contract['padding_share']:.0%}"
    )


def _describe(part: _Part, renderer: Renderer, params: TrainedParams, end: int) -> dict[str, Any]:
    encoded = [tokens for _, tokens in part.kept]
    samples: dict[str, str] = {}
    for row, tokens in part.kept:
        if row["task"] not in samples:
            samples[row["task"]] = renderer.marked(tokens)
    return {
        "rows": len(encoded),
        "dropped": {"longer than max_length": len(part.too_long)} if part.too_long else {},
        "truncated": {"side": params.truncate, "rows": part.truncated},
        "tokens": sum(len(tokens) for tokens in encoded),
        "supervised_tokens": sum(len(tokens.completion) for tokens in encoded),
        "end_token_rows": sum(tokens.completion[-1] == end for tokens in encoded),
        "prompt_tokens": _distribution([len(tokens.prompt) for tokens in encoded]),
        "completion_tokens": _distribution([len(tokens.completion) for tokens in encoded]),
        "padding_share": _padding_share(encoded, renderer.kind, params),
        "samples": samples,
    }


def _distribution(counts: list[int]) -> dict[str, float]:
    values = np.array(counts)
    return {
        "min": int(values.min()),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.quantile(values, 0.95)),
        "max": int(values.max()),
    }


def _padding_share(rows: list[Encoded], kind: str, params: TrainedParams) -> float:
    lengths = [len(row) for row in rows]
    padded = 0
    for batch in token_budget_batches(lengths, params.training.token_budget):
        if kind == "seq2seq":
            sides = [[len(rows[i].prompt) for i in batch], [len(rows[i].completion) for i in batch]]
        else:
            sides = [[lengths[i] for i in batch]]
        padded += len(batch) * sum(max(side) for side in sides)
    return 1 - sum(lengths) / padded


def _length(encoded: Encoded, renderer: Renderer) -> int:
    """Return the length that ``max_length`` limits: a decoder's sequence, or an encoder-decoder's longer side."""
    sides = (len(encoded.prompt), len(encoded.completion))
    return max(sides) if renderer.kind == "seq2seq" else sum(sides)


def _with_shorter_prompt(row: Row, encoded: Encoded, renderer: Renderer, params: TrainedParams) -> Encoded | None:
    """Cut the row's prompt at the side ``params.truncate`` until it fits; None if nothing of the prompt would remain.

    The text is cut and rendered again, not the tokens, so that the tokens of a chat template stay complete.
    """
    tokens = list(renderer.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"])
    excess = _length(encoded, renderer) - params.max_length
    # Cut text may encode to more tokens than it had within the whole, so this can take a few rounds.
    while 0 < excess < len(tokens):
        tokens = tokens[excess:] if params.truncate == "left" else tokens[:-excess]
        encoded = renderer.encode(renderer.tokenizer.decode(tokens), row["completion"])
        excess = _length(encoded, renderer) - params.max_length
    return encoded if excess <= 0 else None


def _row_reference(row: Row, part: str, params: TrainedParams) -> str:
    origin = f"{row['source_file']}:{row['source_line']}"
    return f"data/mixtures/{params.mixture}/{part}.parquet: row {row['row_id']} ({origin})"


def _refuse_unlearnable(row: Row, encoded: Encoded, end: int, params: TrainedParams, part: str) -> None:
    where = _row_reference(row, part, params)
    if len(encoded.completion) > params.max_length:
        raise TunesmithError(
            f"{where}: a completion must fit the length limit; it has {len(encoded.completion)} "
            f"tokens, max_length is {params.max_length}; shorten it or raise max_length in params/training.yaml"
        )
    if not set(encoded.completion) - {end}:
        raise TunesmithError(
            f"{where}: the labels of a row must hold text; those of this row are {encoded.completion}, with no "
            "text besides the end token; correct the row"
        )
    if encoded.completion[-1] != end:
        raise TunesmithError(
            f"{where}: labels must end with the end token {end}, or the model does not learn to stop; they end "
            f"with {encoded.completion[-3:]}; use a model whose chat template ends with it"
        )
    if end in encoded.completion[:-1]:
        raise TunesmithError(
            f"{where}: a completion must not hold the end token, since generation stops there; "
            f"it is label {encoded.completion.index(end) + 1} of {len(encoded.completion)}; remove it from the row"
        )


def _refuse_dropped(too_long: list[tuple[Row, int]], rows: int, params: TrainedParams, part: str) -> None:
    if rows == 0:
        raise TunesmithError(
            f"data/mixtures/{params.mixture}/{part}.parquet: there must be at least one row; there is none; "
            "see params/mixtures.yaml and the fractions of the split in params/sources.yaml"
        )
    share = len(too_long) / rows
    if share > params.max_dropped or len(too_long) == rows:
        row, length = too_long[0]
        raise TunesmithError(
            f"{_row_reference(row, part, params)}: prompt and completion must fit the length limit; they have "
            f"{length} tokens, max_length is {params.max_length}, and so {len(too_long)} of {rows} rows ({share:.1%}) "
            f"would be dropped; raise max_length or max_dropped (now {params.max_dropped}), or let prompts be cut with "
            "`truncate`, in params/training.yaml"
        )
