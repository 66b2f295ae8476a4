"""The label contract: checks and counts of the training rows before the first step. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.core.errors import TunesmithError
from tasks.model.batches import token_budget_batches
from tasks.model.chat import TurnError
from tasks.model.encoded import Encoded
from tasks.model.rendering import Renderer
from tasks.model.round_trip import changes
from tasks.text.rows import Row
from tasks.train.truncation import length, shortened
from tasks.tuning.params import TrainedParams

TOO_LONG = "longer than max_length"

_NAMED = 3
"""Rows that are named for each reason for which the text of rows changes."""


@dataclass
class _Part:
    """Rows of one part.

    Attributes:
        kept: rows that are learned, as tokens.
        dropped: reason → rows, with what is wrong about each.
        truncated: number of rows that were cut.
        changed: reason → kept rows whose decoded tokens differ from their text.
    """

    kept: list[tuple[Row, Encoded]] = field(default_factory=list)
    dropped: dict[str, list[tuple[Row, str]]] = field(default_factory=dict)
    truncated: int = 0
    changed: dict[str, list[Row]] = field(default_factory=dict)


def encode_rows(
    rows: list[Row], renderer: Renderer, params: TrainedParams, part: str
) -> tuple[list[Encoded], dict[str, Any]]:
    """Encode the rows that fit ``max_length``, and build the contract of this part; see ``encode_part``."""
    kept, contract = encode_part(rows, renderer, params, part)
    return [encoded for _, encoded in kept], contract


def encode_part(
    rows: list[Row], renderer: Renderer, params: TrainedParams, part: str
) -> tuple[list[tuple[Row, Encoded]], dict[str, Any]]:
    """Encode the rows that fit ``max_length``, each beside its row, and build the contract of this part.

    Keys of the contract:
        rows: rows kept.
        dropped: reason → rows.
        truncated: ``side``, and ``rows`` whose prompt or first turns were cut.
        tokens, supervised_tokens: their numbers in all kept rows.
        end_token_rows: rows whose labels hold the end token.
        prompt_tokens, completion_tokens: ``min``, ``mean``, ``median``, ``p95`` and ``max`` per row.
        learned_turns: the same, of turns that are learned.
        padding_share: padding as a share of all tokens of the batches.
        changed: reason → ``rows`` whose decoded tokens differ from their text, and the ``first`` of them.
        samples: task → its first row decoded, with each learned turn in ``[[…]]``.

    Raises:
        TunesmithError: a completion alone does not fit; labels have no text or no end token; or more than
            ``max_dropped`` of the rows do not fit or are not rendered as the model would generate them.
    """
    result = _Part()
    for row in rows:
        try:
            _add(row, result, renderer, params, part)
        except TurnError as error:
            if not row.get("messages"):
                raise TunesmithError(f"{_row_reference(row, part, params)}: {error}") from None
            result.dropped.setdefault(error.reason, []).append((row, str(error)))
    _refuse_dropped(result.dropped, len(rows), params, part)
    return result.kept, _describe(result, renderer, params)


def _add(row: Row, result: _Part, renderer: Renderer, params: TrainedParams, part: str) -> None:
    encoded = renderer.encode_row(row)
    _refuse_unlearnable(row, encoded, renderer, params, part)
    reasons = changes(renderer, row, encoded)  # before a cut, which removes text on purpose
    tokens = length(encoded, renderer)
    if tokens > params.max_length and params.truncate is not None:
        shorter = shortened(row, encoded, renderer, params)
        result.truncated += shorter is not None
        encoded = shorter or encoded
    if length(encoded, renderer) <= params.max_length:
        result.kept.append((row, encoded))
        for reason in reasons:
            result.changed.setdefault(reason, []).append(row)
        return
    result.dropped.setdefault(TOO_LONG, []).append(
        (
            row,
            f"prompt and completion must fit the length limit; they have {tokens} tokens, max_length is "
            f"{params.max_length}; raise max_length, or let prompts be cut with `truncate`, in params/training.yaml",
        )
    )


def summary(name: str, part: str, contract: dict[str, Any]) -> str:
    """Format a contract as one line for the log."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in contract["dropped"].items()) or "none"
    return (
        f"{name}: {contract['rows']} {part} rows, {contract['tokens']} tokens, {contract['supervised_tokens']} "
        f"supervised; dropped: {dropped}; padding {contract['padding_share']:.0%}"
    )


def changed(contract: dict[str, Any]) -> list[str]:
    """Format the rows whose decoded tokens differ from their text, one line per reason."""
    return [
        f"{of['rows']} of {contract['rows']} have {reason}, first {', '.join(of['first'])}"
        for reason, of in contract["changed"].items()
    ]


def _describe(part: _Part, renderer: Renderer, params: TrainedParams) -> dict[str, Any]:
    encoded = [tokens for _, tokens in part.kept]
    samples: dict[str, str] = {}
    for row, tokens in part.kept:
        if row["task"] not in samples:
            samples[row["task"]] = renderer.marked(tokens)
    return {
        "rows": len(encoded),
        "dropped": {reason: len(rows) for reason, rows in part.dropped.items()},
        "truncated": {"side": params.truncate, "rows": part.truncated},
        "tokens": sum(len(tokens) for tokens in encoded),
        "supervised_tokens": sum(tokens.supervised for tokens in encoded),
        "end_token_rows": sum(bool({*renderer.stops} & {*tokens.labels}) for tokens in encoded),
        "prompt_tokens": _distribution([len(tokens.prompt) for tokens in encoded]),
        "completion_tokens": _distribution([len(tokens.completion) for tokens in encoded]),
        "learned_turns": _distribution([len(tokens.turns) for tokens in encoded]),
        "padding_share": _padding_share(encoded, renderer.kind, params),
        "changed": {
            reason: {"rows": len(rows), "first": [f"{row['source']}/{row['row_id']}" for row in rows[:_NAMED]]}
            for reason, rows in part.changed.items()
        },
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


def _row_reference(row: Row, part: str, params: TrainedParams) -> str:
    origin = f"{row['source_file']}:{row['source_line']}"
    return f"data/mixtures/{params.mixture}/{part}.parquet: row {row['row_id']} ({origin})"


def _refuse_unlearnable(row: Row, encoded: Encoded, renderer: Renderer, params: TrainedParams, part: str) -> None:
    where = _row_reference(row, part, params)
    turns = [encoded.completion[start:end] for start, end in encoded.turns]
    longest = max(map(len, turns), default=0)
    if longest > params.max_length:
        raise TunesmithError(
            f"{where}: a completion must fit the length limit; it has {longest} "
            f"tokens, max_length is {params.max_length}; shorten it or raise max_length in params/training.yaml"
        )
    if not {token for turn in turns for token in turn} - {*renderer.stops}:
        raise TunesmithError(
            f"{where}: the labels of a row must hold text; those of this row are {encoded.completion}, with no "
            "text besides the end token; correct the row"
        )
    if not {*renderer.stops} & {*turns[-1]}:
        raise TunesmithError(
            f"{where}: labels must end with the end token {renderer.end}, or the model does not learn to stop; they "
            f"end with {turns[-1][-3:]}; use a model whose chat template ends with it, within what it marks with "
            "{% generation %} if it marks turns"
        )


def _refuse_dropped(dropped: dict[str, list[tuple[Row, str]]], rows: int, params: TrainedParams, part: str) -> None:
    if rows == 0:
        raise TunesmithError(
            f"data/mixtures/{params.mixture}/{part}.parquet: there must be at least one row; there is none; "
            "see params/mixtures.yaml and the fractions of the split in params/sources.yaml"
        )
    count = sum(map(len, dropped.values()))
    if count <= params.max_dropped * rows and count < rows:
        return
    reasons = ", ".join(f"{len(members)} {reason}" for reason, members in dropped.items())
    lines = [f"{_row_reference(row, part, params)}: {why}" for members in dropped.values() for row, why in members[:2]]
    raise TunesmithError(
        "\n".join(lines) + f"\nso {count} of {rows} rows ({count / rows:.1%}) would be dropped ({reasons}); correct "
        f"them, or raise max_dropped (now {params.max_dropped}) in params/training.yaml"
    )
