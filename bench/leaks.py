"""``python -m bench.leaks DATA``: how many unrelated text pairs the contamination check of a version matches.

DATA holds a folder per data set with JSONL files, such as ``dialogsum/train.jsonl``. 1,000 pairs join texts of
different data sets: the left ones come from each second data set, the right ones from the others. Then each left text
is compared with all right ones. 1,000 more pairs join two texts of one data set, which may be near-copies; they show
what a change adds. ``--rows`` compares whole data sets: each second row is a test row, the others are training rows.

The script reads only ``tasks.mix.overlap``, so it also runs on an earlier version: put this file into its ``bench``.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.mix.overlap import KINDS, Overlap, texts_of
from tasks.mix.params import ContaminationParams

PAIRS = 1_000
COPIES = {"superglue_rte"}
"""Data sets with the texts of another one (``glue_rte``)."""
LONGEST = 20_000
"""Characters of a text; longer ones are no example of a row."""


def texts_in(value: Any) -> Iterator[str]:
    """The texts of a row, wherever they are nested; a list of tokens is one text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        yield " ".join(value)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)


def main_texts(folder: Path) -> list[str]:
    """The longest text of each row of the JSONL files of ``folder``, each once."""
    rows = (json.loads(line) for file in sorted(folder.rglob("*.jsonl")) for line in file.open(encoding="utf-8"))
    longest = (max(texts_in(row), key=len, default="") for row in rows)
    return list(dict.fromkeys(text for text in longest if 0 < len(text) <= LONGEST))


def matched(training: list[str], test: list[str], params: ContaminationParams) -> list[int]:
    """For each training text the number of the test text that it matches; -1 for none."""

    def normal(texts: list[str]) -> list[list[str]]:
        table = pa.table({"identity": texts, "references": pa.array([[]] * len(texts), pa.list_(pa.string()))})
        return texts_of(table, KINDS[0], params)

    overlap = Overlap({KINDS[0]: normal(test), KINDS[1]: [[] for _ in test]}, params)
    rows = normal(training)
    overlap.count(rows)
    numbers: list[int] = overlap.match_rows(rows, np.arange(len(training)), trained=False).rows.tolist()
    return numbers


def pairs(sets: Sequence[list[str]], others: Sequence[list[str]], seed: int) -> tuple[list[str], list[str]]:
    """``PAIRS`` texts of ``sets`` and as many of ``others``; without ``others``, of the same data set."""
    rng = random.Random(seed)
    left, right = [], []
    for _ in range(PAIRS):
        one, other = rng.sample(rng.choice(sets), 2)
        left.append(one)
        right.append(rng.choice(rng.choice(others)) if others else other)
    return left, right


def main(data: Path, rows: bool) -> None:
    sets = {folder.name: main_texts(folder) for folder in sorted(data.iterdir()) if folder.is_dir()}
    lists = [texts for name, texts in sets.items() if name not in COPIES]
    params = ContaminationParams()
    for name, (left, right) in {
        "of two data sets": pairs(lists[::2], lists[1::2], seed=0),
        "of one data set": pairs(lists, [], seed=0),
    }.items():
        alarms = sum(matched([one], [other], params) == [0] for one, other in zip(left, right, strict=True))
        print(f"pairs {name}: {alarms} of {PAIRS} match")
    left, right = pairs(lists[::2], lists[1::2], seed=0)
    hits = sum(number >= 0 for number in matched(left, right, params))
    print(f"left texts against all right ones: {hits} of {PAIRS} match one")
    for name, texts in sets.items() if rows else ():
        numbers = matched(texts[1::2], texts[::2], params)
        print(f"{name}: {sum(number >= 0 for number in numbers)} of {len(numbers)} rows match one of the others")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--rows" in sys.argv)
