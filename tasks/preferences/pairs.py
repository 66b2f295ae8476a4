"""Pairs for judges: outputs of two experiments for the same rows, drawn and shuffled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.metrics.statistics import variants_by_row
from tasks.text.rows import Row, RowKey, row_key

COLUMNS = ("source", "row_id", "template_id", "prompt", "completion", "rouge1_f")
"""What is read of ``predictions.parquet``, besides ``group``, which predictions of earlier versions lack."""


@dataclass(frozen=True)
class Shown:
    """What a judge sees of a pair. Nothing here tells which experiment is on which side."""

    id: str
    prompt: str
    left: str
    right: str

    def texts_sha256(self) -> str:
        """Hash of the texts that ignores blanks and line ends, which programs change."""
        return files.digest([one_line(text) for text in (self.prompt, self.left, self.right)])


def one_line(text: str) -> str:
    """``text`` with every run of blanks and line ends as one blank."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Pair:
    """A pair with what only the key knows.

    Attributes:
        row: (source, row_id, template_id).
        group: the row's conversation or author (``tasks.text.rows.group_key``); None if the predictions lack it.
        b_left: whether the output of the second experiment is on the left.
        rouge1: ROUGE-1 F1 in 0..1 of the first and of the second experiment; None if it is not known.
    """

    shown: Shown
    row: RowKey
    group: str | None
    b_left: bool
    rouge1: tuple[float | None, float | None]


@dataclass(frozen=True)
class Counts:
    """What became of the test rows.

    Attributes:
        paired: prompt variants of rows with an output of both experiments.
        only_a, only_b: those with an output of one experiment.
        equal: pairs with equal texts, which are left out.
        other_prompts: pairs with different prompts, of which the shorter is shown.
        rows: rows from which pairs are drawn.
    """

    paired: int
    only_a: int
    only_b: int
    equal: int
    other_prompts: int
    rows: int


def read_predictions(path: Path) -> list[Row]:
    """The rows of ``predictions.parquet`` that ``score@X`` wrote.

    Raises:
        TunesmithError: the file is missing, or lacks a column.
    """
    rows = files.read_rows(path)
    if missing := [name for name in COLUMNS if rows and name not in rows[0]]:
        raise TunesmithError(
            f"{path}: needs the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing; "
            "run `tunesmith run` (or `dvc repro`) to evaluate anew"
        )
    return rows


def match(ours: list[Row], theirs: list[Row]) -> tuple[list[tuple[Row, Row]], Counts]:
    """Rows with different outputs of both experiments, in the order of their keys, and the counts of the others."""
    first, second = ({row_key(row): row for row in rows} for rows in (ours, theirs))
    both = [(first[k], second[k]) for k in sorted(first.keys() & second.keys())]
    different = [(a, b) for a, b in both if shown_text(a) != shown_text(b)]
    return different, Counts(
        paired=len(both),
        only_a=len(first.keys() - second.keys()),
        only_b=len(second.keys() - first.keys()),
        equal=len(both) - len(different),
        other_prompts=sum(a["prompt"] != b["prompt"] for a, b in different),
        rows=len({row_key(a)[:2] for a, _ in different}),
    )


def shown_text(row: Row) -> str:
    """The completion of a prediction as judges see it."""
    return (row["completion"] or "").strip()


def draw(matches: list[tuple[Row, Row]], rows: int, secret: str) -> list[Pair]:
    """Draw at most ``rows`` pairs in random order, each of another row; each experiment is on the left in half of them.

    Of a row's prompt variants one is drawn, since judgements of one row are not independent samples. ``secret`` seeds
    the draw. It includes hashes of the predictions, so that nobody can tell the sides from the seed and this code
    alone.
    """
    rng = np.random.default_rng(int(secret, 16))
    variants_of_rows = variants_by_row((row_key(a), (a, b)) for a, b in matches)
    one_each = [variants[rng.integers(len(variants))] for variants in variants_of_rows]
    drawn = [one_each[i] for i in rng.permutation(len(one_each))[:rows]]
    # Equal halves instead of a coin per pair: a preference for one side then cancels out of the win rate.
    first = int(rng.integers(2))
    sides = rng.permutation([(i + first) % 2 == 0 for i in range(len(drawn))])
    width = max(3, len(str(len(drawn))))
    return [
        _pair(f"p{i:0{width}}", a, b, bool(b_left))  # a letter first: a spreadsheet would turn 007 into 7
        for i, ((a, b), b_left) in enumerate(zip(drawn, sides, strict=True), start=1)
    ]


def _pair(name: str, a: Row, b: Row, b_left: bool) -> Pair:
    left, right = (b, a) if b_left else (a, b)
    prompt = min(a["prompt"], b["prompt"], key=lambda text: (len(text), text))
    scores = _finite(a["rouge1_f"]), _finite(b["rouge1_f"])
    group = a.get("group") if b.get("group") is None else b["group"]
    return Pair(Shown(name, prompt, shown_text(left), shown_text(right)), row_key(a), group, b_left, scores)


def _finite(score: float | None) -> float | None:
    return float(score) if score is not None and math.isfinite(score) else None
