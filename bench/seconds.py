"""``python -m bench.seconds FILE``: seconds that small parts of Tunesmith take.

FILE holds rows with a ``summary``, one JSON object per line, as DialogSum's ``dev.jsonl`` does
(https://github.com/cylnlp/dialogsum). Run it in the folder of a workspace whose runs are in MLflow
to measure also a ``tunesmith sync`` that has nothing to do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.paths import Paths
from tasks.ingest.demo import generate
from tasks.metrics.load import load

PAIRS = 10_000


def measure(name: str, work: Callable[[], Any]) -> None:
    start = time.perf_counter()
    work()
    print(f"{name}: {time.perf_counter() - start:.2f} s")


def pairs_of(path: Path) -> tuple[list[str], list[list[str]]]:
    """``PAIRS`` predictions with one reference each: every summary beside the next one."""
    summaries = [row["summary"] for row in files.read_jsonl(path)]
    texts = [text for summary in summaries for text in ([summary] if isinstance(summary, str) else summary)]
    repeated = list(islice(cycle(texts), PAIRS + 1))
    return repeated[1:], [[text] for text in repeated[:-1]]


def main(path: Path) -> None:
    measure("demo data, 1,600 training and 400 test rows", lambda: generate(seed=0, train_rows=1600, test_rows=400))
    predictions, references = pairs_of(path)
    rouge = load("rouge")
    measure(f"ROUGE of {PAIRS:,} pairs", lambda: rouge.compute(predictions=predictions, references=references))
    if (Path.cwd() / "mlflow.db").exists():
        from tasks.tracking.client import open_store
        from tasks.tracking.sync import sync

        paths = Paths(Path.cwd())
        tracker = open_store(paths.root)
        sync(paths, tracker)
        measure("sync with nothing to do", lambda: sync(paths, tracker))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
