"""``evaluation_set``: the rows on which every experiment is evaluated → ``data/evaluation/``.

The folder also holds training rows as examples for prompts, and the templates of the rows.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.evaluation_set.turns import every_turn
from tasks.split.parts import order, part_table, retired_table
from tasks.text.rows import RENDERED, TEMPLATES

EXAMPLES = 32
"""Highest number of examples in a prompt (``evaluate.shots``)."""


def collect(params: EvaluationSetParams, paths: Paths, part: str) -> pa.Table:
    """The rows of ``part`` of ``params.sources``, sorted by source, in the order of their splits."""
    return _rows(params.sources, params.limit, params.seed, paths, part, "sources")


def retention(params: EvaluationSetParams, paths: Paths) -> pa.Table | None:
    """The test rows of the sources of ``retention``, ordered as by ``collect``; None if it names no source.

    Raises:
        TunesmithError: a source is one of the evaluation set's own.
    """
    named = params.retention
    if both := sorted(set(named.sources) & set(params.sources)):
        raise TunesmithError(
            f"params/evaluation.yaml: evaluation_set.retention.sources: must name no source of evaluation_set.sources, "
            f"whose test rows are evaluated anyway; it names {both[0]!r}; name sources of other tasks"
        )
    if not named.sources:
        return None
    return _rows(named.sources, named.limit, params.seed, paths, "test", "retention.sources")


def retired(params: EvaluationSetParams, paths: Paths) -> pa.Table | None:
    """Rows of earlier test sets of ``params.sources``, ordered as by ``collect``; None if there are none."""
    tables = [retired_table(paths, source) for source in sorted(set(params.sources))]
    taken = [_limited(rows, params.retired.limit, params.seed) for rows in tables if rows is not None]
    return pa.concat_tables(taken) if sum(rows.num_rows for rows in taken) else None


def _rows(sources: list[str], limit: int | None, seed: int, paths: Paths, part: str, key: str) -> pa.Table:
    tables = []
    for source in sorted(set(sources)):
        rows = part_table(paths, source, part, f"params/evaluation.yaml: evaluation_set.{key}")
        tables.append(_limited(rows, limit, seed))
    return pa.concat_tables(tables)


def _limited(rows: pa.Table, limit: int | None, seed: int) -> pa.Table:
    """The ``limit`` rows with the lowest hashes, in their order in ``rows``."""
    return rows.take(np.sort(order(rows, seed)[:limit]))


def examples(params: EvaluationSetParams, paths: Paths) -> pa.Table:
    """Training rows as examples for prompts: for each source, task and template, the first ``EXAMPLES`` by hash.

    No example has the ``identity`` of a validation row or of a present or earlier test row of these sources.
    """
    where = "params/evaluation.yaml: evaluation_set.sources"
    tables = []
    held = _held(params, paths, where)
    for source in sorted(set(params.sources)):
        rows = part_table(paths, source, "train", where)
        taken: Counter[tuple[str, str]] = Counter()
        chosen = []
        tasks, templates, identities = (rows.column(name).to_pylist() for name in ("task", "template_id", "identity"))
        for index in order(rows, params.seed).tolist():
            if identities[index] in held:
                continue
            variant = (tasks[index], templates[index])
            taken[variant] += 1
            if taken[variant] <= EXAMPLES:
                chosen.append(index)
        tables.append(rows.take(np.array(chosen, dtype=np.int64)))  # the dtype matters if none is chosen
    return pa.concat_tables(tables)


def _held(params: EvaluationSetParams, paths: Paths, where: str) -> set[str]:
    """The ``identity`` of every row of these sources that is or was evaluated."""
    columns = ["identity"]
    parts = [(source, part) for source in params.sources for part in ("test", "validation")]
    tables = [part_table(paths, source, part, where, columns) for source, part in parts]
    tables += filter(None, (retired_table(paths, source, columns) for source in params.sources))
    return {identity for rows in tables for identity in rows.column("identity").to_pylist()}


def templates(params: EvaluationSetParams, paths: Paths) -> dict[str, Any]:
    """Source → its templates (``tasks.template.stored.SourceTemplates``), from the metadata of its split."""
    of_source = {name: pq.read_schema(paths.split(name) / "test.parquet").metadata or {} for name in params.sources}
    return {name: json.loads(known[TEMPLATES]) for name, known in of_source.items() if TEMPLATES in known}


def run(params: EvaluationSetParams, paths: Paths, stage: Stage) -> None:
    """Write the rows (columns: ``RENDERED``) and ``templates.json``.

    The rows are ``test.parquet``, ``validation.parquet`` and ``examples.parquet``. There is also ``retention.parquet``
    if ``retention`` names sources, and ``retired.parquet`` if the sources have rows of earlier test sets. With
    ``turns: every``, all but the examples have one row per turn of a conversation.
    """
    evaluated = {
        "test": collect(params, paths, "test"),
        "validation": collect(params, paths, "validation"),
        "retention": retention(params, paths),
        "retired": retired(params, paths),
    }
    with stage.outputs(paths.evaluation_set) as (output,):
        output.mkdir()
        for part, rows in evaluated.items():
            if rows is not None:
                of_turns = every_turn(rows) if params.turns == "every" else rows
                pq.write_table(of_turns.cast(RENDERED), output / f"{part}.parquet")
        pq.write_table(examples(params, paths).cast(RENDERED), output / "examples.parquet")
        write_json(output / "templates.json", templates(params, paths))
