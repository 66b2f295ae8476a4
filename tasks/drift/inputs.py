"""Compare the inputs that a model meets with those of its training: their length, and their words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from tasks.core.paths import Paths
from tasks.metrics.shifts import Shift, shift
from tasks.split.parts import order, part_table, split_sources
from tasks.text.rows import Row, without_turn
from tasks.text.words import words

_COLUMNS = ("row_id", "source", "template_id", "group", "text")


@dataclass(frozen=True)
class Input:
    """The words of an input, and its independent group (``tasks.text.rows.group_key``)."""

    words: tuple[str, ...]
    group: tuple[str, str]


@dataclass(frozen=True)
class InputShifts:
    """Shifts from the training inputs to other inputs.

    Attributes:
        length: shift of the mean of log(words per input). Its exponential is the ratio of the geometric means.
        new_words: shift of the share of an input's distinct words that no training input of another group has.
    """

    length: Shift | None
    new_words: Shift | None


def input_shifts(trained: Sequence[Input], met: Sequence[Input], confidence: float) -> InputShifts:
    """Compare two samples of inputs.

    A word of a training input counts as new if no other group has it (leave-one-out). This estimates the share of new
    words that an input of the same kind brings. Inputs without a word are left out.
    """
    groups: dict[str, set[tuple[str, str]]] = {}
    for one in trained:
        for word in one.words:
            groups.setdefault(word, set()).add(one.group)
    spread = Counter({word: len(held_by) for word, held_by in groups.items()})
    of_groups = [one.group for one in trained if one.words], [one.group for one in met if one.words]

    def compared(before: list[float], after: list[float]) -> Shift | None:
        return shift(before, after, confidence, *of_groups)

    return InputShifts(
        compared(_lengths(trained), _lengths(met)),
        compared(
            [_share(one, spread, 1) for one in trained if one.words],
            [_share(one, spread, 0) for one in met if one.words],
        ),
    )


def _lengths(inputs: Sequence[Input]) -> list[float]:
    return [math.log(len(one.words)) for one in inputs if one.words]


def _share(one: Input, spread: Counter[str], most: int) -> float:
    """Share of the different words that at most ``most`` groups have."""
    different = set(one.words)
    return sum(spread[word] <= most for word in different) / len(different)


def inputs_of(rows: Sequence[Row]) -> list[Input]:
    """Take one input per row: the first prompt variant, and the last turn of a conversation.

    Args:
        rows: columns ``row_id``, ``source``, ``template_id``, ``group`` and ``text``.
    """
    texts: dict[tuple[str, str], tuple[str, str, Row]] = {}
    for row in rows:
        key = row["source"], without_turn(row["row_id"])
        known = texts.get(key)
        if known is None or (row["template_id"] == known[1] and row["row_id"] != known[0]):
            texts[key] = row["row_id"], row["template_id"], row
    return [
        Input(
            tuple(words(row["text"] or "")),
            (row["source"], without_turn(row["row_id"]) if row["group"] is None else row["group"]),
        )
        for _, _, row in texts.values()
    ]


def training_inputs(rows: pa.Table, paths: Paths, most: int) -> list[Input]:
    """The inputs of training rows that the present splits still hold.

    Args:
        rows: columns ``source`` and ``row_id``.
        most: maximum number of rows to read, those with the lowest hashes.
    """
    wanted = {(source, row_id) for source, row_id in zip(*(rows.column(c).to_pylist() for c in _KEY), strict=True)}
    known = sorted({source for source, _ in wanted} & set(split_sources(paths)))
    tables = [part_table(paths, source, "train", "params/sources.yaml", _COLUMNS) for source in known]
    if not tables:
        return []
    table = pa.concat_tables(tables)
    kept = [key in wanted for key in zip(*(table.column(c).to_pylist() for c in _KEY), strict=True)]
    table = table.filter(pa.array(kept, pa.bool_()))
    return inputs_of(table.take(order(table, 0)[:most]).to_pylist())


_KEY = ("source", "row_id")
