"""``split@S``: ``data/rendered/S.parquet`` → ``data/splits/S/``.

The folder holds ``train.parquet``, ``validation.parquet`` and ``test.parquet`` (columns: ``RENDERED``), ``splits.json``
with counts and checks, and ``assignments.parquet``, which the next run reads (``persist`` makes DVC keep the folder).
If there are rows of earlier test sets, it also holds ``retired.parquet``.
"""

from __future__ import annotations

import logging

import pyarrow.parquet as pq

from tasks.core.counted import counted
from tasks.core.files import recover, refuse_missing, write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.split.assign import COLUMNS, split
from tasks.split.assignments import Assignments
from tasks.split.new_split import NewSplit, retired_rows, test_rows, was_split
from tasks.split.params import RETIRED, SplitParams
from tasks.split.report import report, verify, written_parts
from tasks.split.rotation import rotates
from tasks.text.rows import GROUPED_BY, TEMPLATES

logger = logging.getLogger("tunesmith")

ASSIGNMENTS = "assignments.parquet"


def run(name: str, params: SplitParams, paths: Paths, stage: Stage) -> None:
    """Split the source ``name``; earlier assignments with the same parameters stay.

    Raises:
        TunesmithError: the rows are not rendered, the earlier assignments cannot be read, or the split is refused.
    """
    rendered = paths.rendered(name)
    refuse_missing(rendered)
    recover(paths.split(name))
    columns = pq.read_table(rendered, columns=COLUMNS)
    metadata = columns.schema.metadata or {}
    grouped_by = metadata.get(GROUPED_BY)
    templates = {name: value for name, value in metadata.items() if name == TEMPLATES}
    earlier = Assignments.read(paths.split(name) / ASSIGNMENTS, params, grouped_by)
    folder = paths.split(name)
    new_split = NewSplit(name, earlier.state, earlier.changed, test_rows(folder), retired_rows(folder))
    # If files or times give every part, earlier assignments decide nothing.
    lost = earlier.state == "none" and bool(params.shares()) and was_split(paths.root, name)
    is_new_split = lost or earlier.state == "other parameters"
    if is_new_split:
        cause, effect, remedy = new_split.why(), new_split.effect(), new_split.remedy()
        for line in (f"rows are split anew: {cause}", effect, f"to keep the split, {remedy}"):
            logger.warning("%s: WARNING: %s", name, line)
    result = split(columns, params, name, earlier)
    counts = report(columns["task"].to_pylist(), result, params)
    del columns
    with stage.outputs(paths.split(name)) as (output,):
        output.mkdir()
        table = pq.read_table(rendered).replace_schema_metadata()
        for part in written_parts(result):
            # Only the evaluation set reads the templates. In training rows, a changed template would retrain models.
            of_part = table.replace_schema_metadata(templates if part == "test" else None)
            pq.write_table(of_part.take(result.rows(part)), output / f"{part}.parquet")
        del table
        result.assignments.write(output / ASSIGNMENTS, params, grouped_by)
        counts |= {"assignments": {"state": earlier.state, "groups": len(earlier.groups)}}
        write_json(output / "splits.json", counts | verify(output, result.nodes, result.earlier, params))
    parts = ", ".join(f"{count:,} {part}" for part, count in counts["rows"].items() if part not in ("in", "dropped"))
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in counts["dropped"].items())
    logger.info("%s: %s: %s; dropped: %s", name, counted(counts["rows"]["in"], "row"), parts, dropped or "none")
    if rotates(earlier, params):
        logger.info(
            "%s: test set %d: its rows are new; %d rows retired", name, params.test_set, counts["rows"].get(RETIRED, 0)
        )
    if is_new_split:
        logger.warning("WARNING: %s", new_split.counts(counts["rows"]["test"]))
