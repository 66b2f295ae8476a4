"""The label contract: what is checked and counted before the first training step. It fails closed."""

from __future__ import annotations

from typing import Any

from tasks.errors import TunesmithError
from tasks.rendering import Encoded, Renderer
from tasks.rows import Row
from tasks.train.params import TrainParams


def encode_rows(
    rows: list[Row], renderer: Renderer, params: TrainParams, part: str
) -> tuple[list[Encoded], dict[str, Any]]:
    """Tokens of the rows that fit ``max_length``, and the contract of this part.

    The contract counts rows, dropped rows, tokens and supervised tokens, and shows one row decoded with its
    supervised text in ``[[…]]``.

    Raises:
        TunesmithError: a completion alone does not fit, a row's labels have no text or no end token or one amid the
            text, or more than ``max_dropped`` of the rows do not fit.
    """
    end = renderer.tokenizer.eos_token_id
    kept: list[Encoded] = []
    too_long: list[tuple[Row, int]] = []
    for row in rows:
        encoded = renderer.encode(row["prompt"], row["completion"])
        _refuse_unlearnable(row, encoded, end, params, part)
        if _length(encoded, renderer) > params.max_length:
            too_long.append((row, _length(encoded, renderer)))
        else:
            kept.append(encoded)
    _refuse_dropped(too_long, len(rows), params, part)
    return kept, {
        "rows": len(kept),
        "dropped_too_long": len(too_long),
        "tokens": sum(len(encoded) for encoded in kept),
        "supervised_tokens": sum(len(encoded.completion) for encoded in kept),
        "longest": max(len(encoded) for encoded in kept),
        "sample": f"{renderer.tokenizer.decode(kept[0].prompt)}[[{renderer.tokenizer.decode(kept[0].completion)}]]",
    }


def _length(encoded: Encoded, renderer: Renderer) -> int:
    """What ``max_length`` limits: the sequence of a decoder, the longer side of an encoder-decoder."""
    sides = (len(encoded.prompt), len(encoded.completion))
    return max(sides) if renderer.kind == "seq2seq" else sum(sides)


def _place(row: Row, part: str, params: TrainParams) -> str:
    origin = f"{row['source_file']}:{row['source_line']}"
    return f"data/mixtures/{params.mixture}/{part}.parquet: row {row['row_id']} ({origin})"


def _refuse_unlearnable(row: Row, encoded: Encoded, end: int, params: TrainParams, part: str) -> None:
    if len(encoded.completion) > params.max_length:
        raise TunesmithError(
            f"{_place(row, part, params)}: a completion must fit the length limit; it has {len(encoded.completion)} "
            f"tokens, max_length is {params.max_length}; shorten it or raise max_length in params/training.yaml"
        )
    if len(encoded.completion) < 2 or encoded.completion[-1] != end:
        raise TunesmithError(
            f"{_place(row, part, params)}: labels must hold text and the end token; they are {encoded.completion}; "
            "correct the row"
        )
    if end in encoded.completion[:-1]:
        raise TunesmithError(
            f"{_place(row, part, params)}: a completion must not hold the end token, since generation stops there; "
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
            f"raise max_length or max_dropped (now {params.max_dropped}) in params/training.yaml"
        )
