"""``python -m bench.data_rooms ROWS``: seconds and peak memory of template, split and mix over eight tasks.

Makes ROWS rows of eight kinds of data (words drawn from a Zipf law, a twentieth of them near-copies of others) in a
temporary folder, and runs the stages on them as DVC would: a process each, one after the other. Sixteen of a
hundred rows become test rows, against which ``mix`` checks the training rows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tasks.core.files import digest
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.text.rows import Row

Words = Callable[[int, int], str]

KINDS: dict[str, Callable[[Words, int], Row]] = {
    "dialogue_summary": lambda words, i: {"dialogue": words(40, 120), "summary": words(12, 30)},
    "product_reviews": lambda words, i: {"review": words(10, 90), "rating": i % 5 + 1, "title": words(3, 8)},
    "sentiment": lambda words, i: {"text": words(8, 40), "label": i % 2},
    "entailment": lambda words, i: {"premise": words(20, 70), "hypothesis": words(6, 15), "label": i % 2},
    "yes_no_reading": lambda words, i: {"passage": words(60, 140), "question": words(6, 12), "label": i % 2 == 0},
    "multiple_choice": lambda words, i: {
        "question": words(10, 50),
        **{letter: words(2, 8) for letter in "ABCD"},
        "answer": i % 4,
        "subject": "history",
    },
    "translation": lambda words, i: {"source": words(8, 30), "target": words(8, 30)},
    "instruction": lambda words, i: {"instruction": words(8, 25), "input": words(20, 60), "output": words(10, 60)},
}
LANGUAGES = {"source_language": "English", "target_language": "German"}
HERE = Path(__file__).parent.parent
FRACTIONS = {"train": 0.8, "validation": 0.04, "test": 0.16}


def make(root: Path, rows: int) -> None:
    """Raw rows of every kind, and the parameter files that take them to one mixture."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = Paths(root)
    (root / "data/raw").mkdir(parents=True)
    (root / "params").mkdir()
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 20_001)
    vocabulary = np.array([f"w{i:x}" for i in range(20_000)])
    for name, kind in KINDS.items():
        pool = vocabulary[rng.choice(len(vocabulary), 4_000_000, p=shares / shares.sum())]

        def words(low: int, high: int, pool: Any = pool) -> str:
            start, count = rng.integers(len(pool) - high), rng.integers(low, high)
            return " ".join(pool[start : start + count])

        made: list[Row] = []
        for i in range(rows // len(KINDS)):
            row = kind(words, i)
            if i % 20 == 19:  # a near-copy: one word more
                row = {k: f"{v} indeed" if isinstance(v, str) else v for k, v in made[-1].items() if k in row}
            made.append(row)
        own = [{"row_id": digest([name, i]), "source_file": "all", "source_line": i + 1} for i in range(len(made))]
        table = pa.Table.from_pylist([row | more for row, more in zip(made, own, strict=True)])
        pq.write_table(table, paths.raw(name))
    sources = {name: _source(name) for name in KINDS}
    write_yaml(root / "params/sources.yaml", {"generated": {}, "hub": {}, "sources": sources})
    mixture = {"sources": {name: {} for name in KINDS}}
    write_yaml(root / "params/mixtures.yaml", {"mixtures": {"all": mixture}, "contamination": {"max_dirty": 1.0}})
    write_yaml(root / "params/evaluation.yaml", {"evaluation_set": {"sources": list(KINDS)}})


def _source(name: str) -> dict[str, Any]:
    template: dict[str, Any] = {"set": name, "max_dropped": 0.1}
    if name == "translation":
        template["values"] = LANGUAGES
    return {"ingest": {}, "template": template, "split": {"by": "hash", "fractions": FRACTIONS}}


def measure(root: Path, *command: str) -> tuple[float, float]:
    """Seconds and peak resident gigabytes of one process."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", *command], cwd=root, env={**os.environ, "PYTHONPATH": str(HERE)})
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, used.ru_maxrss / 1e6


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # In a process of its own: a child's peak memory counts that of the process it was split off from.
        maker = get_context("spawn").Process(target=make, args=(root, rows))
        maker.start()
        maker.join()
        if maker.exitcode != 0:
            raise SystemExit("no rows were made")
        stages = {
            "template": [[name] for name in KINDS],
            "split": [[name] for name in KINDS],
            "evaluation_set": [[]],
            "mix": [["all"]],
        }
        for stage, calls in stages.items():
            measured = [measure(root, f"tasks.{stage}", *arguments) for arguments in calls]
            seconds, peak = sum(second for second, _ in measured), max(memory for _, memory in measured)
            print(f"{stage}: {rows} rows, {seconds:.1f} s, peak {peak:.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]))
