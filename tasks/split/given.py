"""The parts that rows get from their files or times."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tasks.core.errors import TunesmithError
from tasks.split.params import ALL_PARTS, SplitParams, moment
from tasks.text.components import Numbers


def given_parts(table: pa.Table, params: SplitParams, source: str) -> Numbers:
    """Row → number of the part in ``ALL_PARTS`` that its file or time gives; all 0 (train) if the hash decides.

    Raises:
        TunesmithError: a file has no part, a part names a missing file, or a row has no time.
    """
    if params.by == "file":
        return _by_file(table.column("source_file").to_pylist(), params, source)
    return _by_time(table, params, source) if params.by == "time" else np.zeros(len(table), np.int64)


def _by_file(files: list[str], params: SplitParams, source: str) -> Numbers:
    part_of = {name: ALL_PARTS.index(part) for part, members in params.files.items() for name in members}
    names = set(files)
    if unknown := sorted(names - set(part_of)):
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.files: file {unknown[0]!r} is in no part; name it or remove "
            f"it from data/sources/{source} (files: {', '.join(sorted(names))})"
        )
    if missing := sorted(set(part_of) - names):
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.files: there is no file {missing[0]!r} in "
            f"data/sources/{source}; its files: {', '.join(sorted(names))}"
        )
    return np.array([part_of[file] for file in files], np.int64)


def _by_time(table: pa.Table, params: SplitParams, source: str) -> Numbers:
    times = table.column("time").to_pylist()
    if None in times:
        row = times.index(None)
        location = f"{table.column('source_file')[row].as_py()}:{table.column('source_line')[row].as_py()}"
        raise TunesmithError(
            f"params/sources.yaml: sources.{source}.split.by: `by: time` needs the time of every row; {location} has "
            f"none; name the column in `sources.{source}.template.time`"
        )
    names = ("validation_from", "test_from")
    cuts = [(part, moment(getattr(params, n), n)) for part, n in enumerate(names, 1) if getattr(params, n) is not None]
    given = np.zeros(len(times), np.int64)
    for part, first in cuts:
        given[np.array(times) >= first] = part
    return given
