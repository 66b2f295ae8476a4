"""The label contract: what is checked and counted before the first training step. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.core.errors import TunesmithError
from tasks.model.batches import token_budget_batches
from tasks.model.rendering import Encoded, Renderer
from tasks.text.rows import Row
from tasks.tuning.params import TrainParams


@dataclass
class _Part:
    """One part at work: its rows as tokens, those that do not fit, and how many prompts were cut."""

    name: str
    kept: list[tuple[Row, Encoded]] = field(default_factory=list)
    too_long: list[tuple[Row, int]] = field(default_factory=list)
    truncated: int = 0


def encode_rows(
    rows: list[Row], renderer: Renderer, params: TrainParams, part: str
) -> tuple[list[Encoded], dict[str, Any]]:
    """Tokens of the rows that fit ``max_length``, and the contract of this part.

    Keys of the contract: ``rows`` kept, ``dropped`` (reason → rows), ``truncated`` (``side`` and ``rows`` whose prompt
    was cut), ``tokens``, ``supervised_tokens``, ``end_token_rows`` (labels that hold the end token),
    ``prompt_tokens`` and ``completion_tokens`` (``min``, ``mean``, ``median``, ``p95``, ``max`` a row; every token of
    a completion is supervised), ``padding_share`` of a batch's tokens, and ``samples`` (task → its first row decoded,
    with the supervised text in ``[[…]]``).

    Raises:
        TunesmithError: a completion alone does not fit, a row's labels have no text or no end token or one amid the
            text, or more than ``max_dropped`` of the rows do not fit.
    """
    end = renderer.tokenizer.eos_token_id
    found = _Part(part)
    for row in rows:
        encoded = renderer.encode(row["prompt"], row["completion"])
        _refuse_unlearnable(row, encoded, end, params, part)
        length = _length(encoded, renderer)
        if length > params.max_length and params.truncate is not None:
            shorter = _with_shorter_prompt(row, encoded, renderer, params)
            found.truncated += shorter is not None
            encoded = shorter or encoded
        if _length(encoded, renderer) > params.max_length:
            found.too_long.append((row, length))
        else:
            found.kept.append((row, encoded))
    _refuse_dropped(found.too_long, len(rows), params, part)
    return [encoded for _, encoded in found.kept], _describe(found, renderer, params, end)


def summary(name: str, part: str, contract: dict[str, Any]) -> str:
    """One line of a contract, for a log."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in contract["dropped"].items()) or "none"
    return (
        f"{name}: {contract['rows']} {part} rows, {contract['tokens']} tokens, {contract['supervised_tokens']} "
        f"supervised; dropped: {dropped}; padding {contract['padding_share']:.0%}"
    )


def _describe(part: _Part, renderer: Renderer, params: TrainParams, end: int) -> dict[str, Any]:
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


def _padding_share(rows: list[Encoded], kind: str, params: TrainParams) -> float:
    assert params.training is not None
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
    """What ``max_length`` limits: the sequence of a decoder, the longer side of an encoder-decoder."""
    sides = (len(encoded.prompt), len(encoded.completion))
    return max(sides) if renderer.kind == "seq2seq" else sum(sides)


def _with_shorter_prompt(row: Row, encoded: Encoded, renderer: Renderer, params: TrainParams) -> Encoded | None:
    """The row with its prompt cut at ``params.truncate`` until it fits; None where nothing of it would be left.

    The text is cut and rendered anew, never the tokens: a chat template's own stay whole.
    """
    tokens = list(renderer.tokenizer(row["prompt"], add_special_tokens=False)["input_ids"])
    excess = _length(encoded, renderer) - params.max_length
    # Cut text may become more tokens than it was a part of: a few rounds settle it.
    while 0 < excess < len(tokens):
        tokens = tokens[excess:] if params.truncate == "left" else tokens[:-excess]
        encoded = renderer.encode(renderer.tokenizer.decode(tokens), row["completion"])
        excess = _length(encoded, renderer) - params.max_length
    return encoded if excess <= 0 else None


def _place(row: Row, part: str, params: TrainParams) -> str:
    origin = f"{row['source_file']}:{row['source_line']}"
    return f"data/mixtures/{params.mixture}/{part}.parquet: row {row['row_id']} ({origin})"


def _refuse_unlearnable(row: Row, encoded: Encoded, end: int, params: TrainParams, part: str) -> None:
    place = _place(row, part, params)
    if len(encoded.completion) > params.max_length:
        raise TunesmithError(
            f"{place}: a completion must fit the length limit; it has {len(encoded.completion)} "
            f"tokens, max_length is {params.max_length}; shorten it or raise max_length in params/training.yaml"
        )
    if not set(encoded.completion) - {end}:
        raise TunesmithError(
            f"{place}: a row must have labels that hold text; all of this one are masked or the end token "
            f"({encoded.completion}); correct the row"
        )
    if encoded.completion[-1] != end:
        raise TunesmithError(
            f"{place}: labels must close with the end token {end}, or the model learns not to stop; they close "
            f"with {encoded.completion[-3:]}; use a model whose chat template closes with it"
        )
    if end in encoded.completion[:-1]:
        raise TunesmithError(
            f"{place}: a completion must not hold the end token, since generation stops there; "
            f"it is label {encoded.completion.index(end) + 1} of {len(encoded.completion)}; take it out of the row"
        )


def _refuse_dropped(too_long: list[tuple[Row, int]], rows: int, params: TrainParams, part: str) -> None:
    if rows == 0:
        raise TunesmithError(
            f"data/mixtures/{params.mixture}/{part}.parquet: there must be at least one row; there is none; "
            "see params/mixtures.yaml and the fractions of the split in params/sources.yaml"
        )
    share = len(too_long) / rows
    if share > params.max_dropped or len(too_long) == rows:
        row, length = too_long[0]
        raise TunesmithError(
            f"{_place(row, part, params)}: prompt and completion must fit the length limit; they have {length} tokens, "
            f"max_length is {params.max_length}, and so {len(too_long)} of {rows} rows ({share:.1%}) would be dropped; "
            f"raise max_length or max_dropped (now {params.max_dropped}), or let prompts be cut with `truncate`, in "
            "params/training.yaml"
        )
