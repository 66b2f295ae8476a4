"""``split@S``: ``data/rendered/S.parquet`` → ``data/splits/S/``.

It holds ``train``, ``validation`` and ``test.parquet`` (columns: ``RENDERED``), ``splits.json``, which proves that they
are apart, and ``assignments.parquet``, which the next run reads (DVC keeps the folder: ``persist``).
"""

from __future__ import annotations

import logging

import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import recover, write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.split.assign import COLUMNS, split
from tasks.split.memory import Memory
from tasks.split.new_split import NewSplit, test_rows, was_split
from tasks.split.params import PARTS, SplitParams
from tasks.split.report import report, verify
from tasks.text.rows import GROUPED_BY, TEMPLATES

logger = logging.getLogger("tunesmith")

ASSIGNMENTS = "assignments.parquet"


def run(name: str, params: SplitParams, paths: Paths, stage: Stage) -> None:
    """Split the source ``name``; what was assigned before under the same parameters stands.

    Raises:
        TunesmithError: the rows are not rendered, what was assigned before cannot be read, or the split is refused.
    """
    rendered = paths.rendered(name)
    if not rendered.exists():
        raise TunesmithError(f"{rendered}: no such file; run `tunesmith run` (or `dvc repro`) to build it")
    recover(paths.split(name))
    columns = pq.read_table(rendered, columns=COLUMNS)
    metadata = columns.schema.metadata or {}
    grouped_by = metadata.get(GROUPED_BY)
    templates = {name: value for name, value in metadata.items() if name == TEMPLATES}
    before = Memory.read(paths.split(name) / ASSIGNMENTS, params, grouped_by)
    anew = NewSplit(name, before.state, before.changed, test_rows(paths.split(name)))
    # Where every part is given, no memory decides anything.
    gone = before.state == "none" and bool(params.shares()) and was_split(paths.root, name)
    forgotten = gone or before.state == "other parameters"
    if forgotten:
        for line in (f"rows are split anew: {anew.why()}", anew.effect(), f"to keep the split, {anew.remedy()}"):
            logger.warning("%s: WARNING: %s", name, line)
    decided = split(columns, params, name, before)
    found = report(columns["task"].to_pylist(), decided, params)
    del columns
    with stage.outputs(paths.split(name)) as (output,):
        output.mkdir()
        table = pq.read_table(rendered).replace_schema_metadata()
        for part in PARTS:
            # Only the evaluation set reads the templates; in training rows, a changed template would retrain models.
            of_part = table.replace_schema_metadata(templates if part == "test" else None)
            pq.write_table(of_part.take(decided.rows(part)), output / f"{part}.parquet")
        del table
        decided.memory.write(output / ASSIGNMENTS, params, grouped_by)
        found |= {"memory": {"state": before.state, "groups": len(before.groups)}}
        write_json(output / "splits.json", found | verify(output, decided.nodes, before, params))
    logger.info("%s: %s; dropped: %s", name, found["rows"], found["dropped"] or "none")
    if forgotten:
        logger.warning("WARNING: %s", anew.counts(found["rows"]["test"]))
