"""``evaluation_set``: the test and validation rows that every experiment meets, and training rows as examples for
prompts → ``data/evaluation/``."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.mix.draw import order, part_table
from tasks.mix.params import EvaluationSetParams
from tasks.params import load
from tasks.paths import Paths
from tasks.rows import RENDERED
from tasks.stage import Stage, main

EXAMPLES = 32
"""Most examples that a prompt may have (``evaluate.shots``)."""


def collect(params: EvaluationSetParams, paths: Paths, part: str) -> pa.Table:
    """Rows of ``part`` of the named sources, by the sources' names, in the order of their splits."""
    where = "params/evaluation.yaml: evaluation_set.sources"
    tables = []
    for source in sorted(set(params.sources)):
        found = part_table(paths, source, part, where)
        tables.append(found.take(np.sort(order(found, params.seed)[: params.limit])))
    return pa.concat_tables(tables)


def examples(params: EvaluationSetParams, paths: Paths) -> pa.Table:
    """Training rows of the named sources: of each source, task and wording the ``EXAMPLES`` first by hash."""
    where = "params/evaluation.yaml: evaluation_set.sources"
    tables = []
    for source in sorted(set(params.sources)):
        found = part_table(paths, source, "train", where)
        taken: Counter[tuple[str, str]] = Counter()
        chosen = []
        tasks, templates = (found.column(name).to_pylist() for name in ("task", "template_id"))
        for place in order(found, params.seed).tolist():
            wording = (tasks[place], templates[place])
            taken[wording] += 1
            if taken[wording] <= EXAMPLES:
                chosen.append(place)
        tables.append(found.take(chosen))
    return pa.concat_tables(tables)


def run(params: EvaluationSetParams, paths: Paths, stage: Stage) -> None:
    """Write ``test.parquet``, ``validation.parquet`` and ``examples.parquet`` (columns: ``RENDERED``)."""
    with stage.outputs(paths.evaluation_set) as (output,):
        output.mkdir()
        for part in ("test", "validation"):
            pq.write_table(collect(params, paths, part).cast(RENDERED), output / f"{part}.parquet")
        pq.write_table(examples(params, paths).cast(RENDERED), output / "examples.parquet")


if __name__ == "__main__":
    here = Paths.here()
    main(
        "evaluation_set",
        lambda stage: run(load(EvaluationSetParams, here.params / "evaluation.yaml", "evaluation_set"), here, stage),
    )
