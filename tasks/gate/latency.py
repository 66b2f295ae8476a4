"""The time that a model needs for one row alone, as a client of a served model sees it."""

from __future__ import annotations

import logging
import platform
import time

import numpy as np

from tasks.core import files
from tasks.core.paths import Paths
from tasks.gate.evaluated import Evaluated

logger = logging.getLogger("tunesmith")

ROWS = 32
"""Number of test rows to time, one at a time: always the first rows of the test set."""


def latency_p95(candidate: Evaluated, paths: Paths) -> float:
    """95th percentile of the seconds for one row, over the first ``ROWS`` test rows, after one row to warm up.

    It is measured on this machine, and kept in ``.tunesmith/latency`` for the same weights, rows and machine.
    """
    rows = files.read_rows(paths.evaluation_set / "test.parquet")[:ROWS]
    generation = candidate.metrics.get("generation")
    identity = [candidate.weights or candidate.key, candidate.test, len(rows), generation, platform.node()]
    cached = paths.state / "latency" / f"{files.digest(identity)[:16]}.json"
    if not cached.exists():
        logger.info("measuring the latency of %s on %d test rows, one at a time", candidate.name, len(rows))
        seconds = _measure(candidate, rows, paths)
        with files.replacing(cached) as temporary:
            files.write_json(temporary, {"experiment": candidate.name, "rows": len(rows), "seconds": seconds})
    return float(np.percentile(files.read_json(cached)["seconds"], 95))


def _measure(candidate: Evaluated, rows: list[dict[str, object]], paths: Paths) -> list[float]:
    from tasks.evaluate.evaluated_model import EvaluatedModel
    from tasks.evaluate.inference_settings import Inference
    from tasks.evaluate.predictions import INFERENCE

    stored = candidate.report / INFERENCE
    inference = Inference.read(stored) if stored.exists() else None
    model = EvaluatedModel.load(paths.model(candidate.name), inference, paths.root)
    prompts = [model.prompts.render_row(row, f"test row {number}") for number, row in enumerate(rows, start=1)]
    seconds = []
    for prompt in [prompts[0], *prompts]:
        started = time.perf_counter()
        model.generate([prompt])
        seconds.append(round(time.perf_counter() - started, 4))
    return seconds[1:]
