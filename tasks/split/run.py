"""``split@S``: ``data/rendered/S.parquet`` → ``data/splits/S/{train,validation,test}.parquet`` and ``report.json``."""

from __future__ import annotations

import logging

from tasks.files import read_rows, write_json, write_rows
from tasks.paths import Paths
from tasks.rows import RENDERED
from tasks.split.assign import split
from tasks.split.params import SplitParams
from tasks.stage import Stage

logger = logging.getLogger("tunesmith")


def run(name: str, params: SplitParams, paths: Paths, stage: Stage) -> None:
    """Split the source ``name``; ``report.json`` holds the rows a part and the dropped by reason."""
    parts, dropped = split(read_rows(paths.rendered(name)), params, name)
    counts = {part: len(rows) for part, rows in parts.items()}
    with stage.outputs(paths.split(name)) as (output,):
        output.mkdir()
        for part, rows in parts.items():
            write_rows(output / f"{part}.parquet", rows, RENDERED)
        write_json(output / "report.json", {"rows": counts, "dropped": dropped})
    logger.info("%s: %s; dropped: %s", name, counts, dropped or "none")
