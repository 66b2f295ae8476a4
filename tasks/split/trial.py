"""What a higher ``test_set`` would do, without writing anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.split.assign import COLUMNS, split
from tasks.split.assignments import Assignments
from tasks.split.params import RETIRED, SplitParams
from tasks.split.run import ASSIGNMENTS
from tasks.text.rows import GROUPED_BY


@dataclass(frozen=True)
class Rotation:
    """The next test set of a source.

    Attributes:
        test_set: its number.
        rows, groups: rows that it will have, and their groups.
        retired: rows of the present and all earlier test sets.
    """

    source: str
    test_set: int
    rows: int
    groups: int
    retired: int


def try_rotation(name: str, params: SplitParams, paths: Paths) -> Rotation:
    """Split the rendered rows of the source ``name`` with the next test set, and count its rows.

    Raises:
        TunesmithError: the source has no split yet, its next test set is requested already, or the split would be
            refused, such as for too few groups that no experiment has seen.
    """
    columns = pq.read_table(paths.rendered(name), columns=COLUMNS)
    grouped_by = (columns.schema.metadata or {}).get(GROUPED_BY)
    earlier = Assignments.read(paths.split(name) / ASSIGNMENTS, params, grouped_by)
    key = f"params/sources.yaml: sources.{name}.split.test_set"
    if earlier.state != "read":
        raise TunesmithError(
            f"{key}: only a source that was split has a test set to rotate; {name} has none; run `tunesmith run`"
        )
    if params.test_set > earlier.test_set:
        raise TunesmithError(
            f"{key}: is {params.test_set} already, and data/splits/{name} has test set {earlier.test_set}; "
            "`tunesmith run` draws the new one"
        )
    after = params.model_copy(update={"test_set": params.test_set + 1})
    decided = split(columns, after, name, earlier)
    rows = decided.rows("test")
    groups = len(np.unique(decided.nodes.group[rows]))
    return Rotation(name, after.test_set, len(rows), groups, len(decided.rows(RETIRED)))
