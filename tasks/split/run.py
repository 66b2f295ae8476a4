"""``split@S``: ``data/rendered/S.parquet`` → ``data/splits/S/``.

It holds ``train``, ``validation`` and ``test.parquet`` (columns: ``RENDERED``), ``splits.json``, which proves that they
are apart, and ``assignments.parquet``, which the next run reads (DVC keeps the folder: ``persist``).
"""

from __future__ import annotations

import logging

import pyarrow.parquet as pq

from tasks.errors import TunesmithError
from tasks.files import write_json
from tasks.paths import Paths
from tasks.split.assign import COLUMNS, split
from tasks.split.memory import Memory
from tasks.split.params import PARTS, SplitParams
from tasks.split.report import report, verify
from tasks.stage import Stage

logger = logging.getLogger("tunesmith")

ASSIGNMENTS = "assignments.parquet"


def run(name: str, params: SplitParams, paths: Paths, stage: Stage) -> None:
    """Split the source ``name``; what was assigned before under the same parameters stands."""
    rendered = paths.rendered(name)
    if not rendered.exists():
        raise TunesmithError(f"{rendered}: no such file; run `tunesmith run` (or `dvc repro`) to build it")
    before = Memory.read(paths.split(name) / ASSIGNMENTS, params)
    columns = pq.read_table(rendered, columns=COLUMNS)
    decided = split(columns, params, name, before)
    found = report(columns["task"].to_pylist(), decided, params)
    del columns
    with stage.outputs(paths.split(name)) as (output,):
        output.mkdir()
        table = pq.read_table(rendered)
        for part in PARTS:
            pq.write_table(table.take(decided.rows(part)), output / f"{part}.parquet")
        del table
        decided.memory.write(output / ASSIGNMENTS, params)
        write_json(output / "splits.json", found | verify(output, decided.nodes, before, params))
    logger.info("%s: %s; dropped: %s", name, found["rows"], found["dropped"] or "none")
