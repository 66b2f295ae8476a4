"""``mix@M``: train and validation rows of its sources → ``data/mixtures/M/``. Test rows are never mixed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.mix.contamination import COMPARED, Contamination, dirty_of, summary, too_dirty
from tasks.mix.params import ContaminationParams, MixtureParams
from tasks.mix.quotas import Component, Quota, quotas
from tasks.mix.sources import (
    Source,
    by_task,
    hold_out,
    read_source,
    refuse_lost_sources,
    refuse_unknown_hold_outs,
    tasks_of,
)
from tasks.split.parts import draw, orphaned_splits, part_table, retired_table, split_sources
from tasks.text.rows import RENDERED, ROW_KEY, rendered_columns

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Mixed:
    """A mixture.

    Attributes:
        parts: ``train`` and ``validation`` → rows (columns: ``RENDERED``).
        report: rows requested, taken and left out: ``report.json``.
        contamination: the test rows of all split sources (columns: ``contamination.ROWS``).
    """

    parts: dict[str, pa.Table]
    report: dict[str, Any]
    contamination: pa.Table


def mix(name: str, params: MixtureParams, checked: ContaminationParams, paths: Paths) -> Mixed:
    """Draw the mixture ``name``.

    A row is left out if it matches (``overlap.MEASURES``) a test row of *any* split source, also of an earlier test
    set. A training row is also left out for a validation row.

    Raises:
        TunesmithError: a source has no split, a hold-out names nothing, or ``refuse_lost_sources`` refuses.
    """
    where = f"params/mixtures.yaml: mixtures.{name}"
    sources = [read_source(paths, source, f"{where}.sources") for source in sorted(params.sources)]
    refuse_unknown_hold_outs(sources, params.hold_out, f"{where}.hold_out")
    test, watched = (Contamination(evaluation_rows(paths, part), part, checked) for part in ("test", "validation"))
    retired = retired_rows(paths)
    tests = [test, *([Contamination(retired, "retired", checked)] if retired.num_rows else [])]
    _count_phrases(sources, tests, watched)
    components: dict[Component, pa.Table] = {}
    validation: list[pa.Table] = []
    report: dict[str, Any] = {}
    for source in sources:
        allowed = Source(source.name, *(hold_out(rows, params.hold_out) for rows in (source.train, source.validation)))
        clean, report[source.name] = _without_evaluation_rows(source, allowed, tests, watched)
        # A task whose rows are all left out is short; a task that is held out is not.
        tasks = tasks_of(allowed.train)
        components |= by_task(source.name, clean.train, tasks, params.sources[source.name].limit, params.seed)
        watching = tasks_of(clean.validation)
        drawn = by_task(source.name, clean.validation, watching, params.validation_limit, params.seed)
        report[source.name]["validation"] = sum(rows.num_rows for rows in drawn.values())
        validation.append(draw(_joined(drawn.values()), None, params.seed))
    refuse_lost_sources(report, checked, f"{where}.sources")
    shares = quotas({component: rows.num_rows for component, rows in components.items()}, params)
    taken = _joined(components[component].slice(0, quota.rows) for component, quota in shares.items())
    parts = {"train": draw(taken, None, params.seed), "validation": _joined(validation)}
    test.add(parts["train"], test.register(parts["train"]))
    return Mixed(parts, _report(params, parts, shares, report), test.result())


def _count_phrases(sources: Sequence[Source], tests: Sequence[Contamination], watched: Contamination) -> None:
    """Count the n-grams of all sources before any row is matched, so that no row's match depends on its source."""
    for source in sources:
        for check in [*tests, watched]:
            check.count(source.train)
        for check in tests:
            check.count(source.validation)


def evaluation_rows(paths: Paths, part: str) -> pa.Table:
    """Rows of ``part`` of every split source, in the order of their names (columns: ``contamination.COMPARED``)."""
    tables = (part_table(paths, source, part, "data/splits", COMPARED) for source in split_sources(paths))
    return _joined((table.select(COMPARED) for table in tables), pa.schema([RENDERED.field(c) for c in COMPARED]))


def retired_rows(paths: Paths) -> pa.Table:
    """Rows of the earlier test sets of every split source (columns: ``contamination.COMPARED``)."""
    tables = (retired_table(paths, source, COMPARED) for source in split_sources(paths))
    known = (table.select(COMPARED) for table in tables if table is not None)
    return _joined(known, pa.schema([RENDERED.field(c) for c in COMPARED]))


def _without_evaluation_rows(
    source: Source, allowed: Source, tests: Sequence[Contamination], watched: Contamination
) -> tuple[Source, dict[str, Any]]:
    """The allowed rows that match no evaluation row, and the counts of rows held out and left out."""
    train, of_train = _without_matches(allowed.train, [*tests, watched])
    validation, of_validation = _without_matches(allowed.validation, tests)
    return Source(source.name, train, validation), {
        "train": train.num_rows,
        "held_out": {
            "train": source.train.num_rows - allowed.train.num_rows,
            "validation": source.validation.num_rows - allowed.validation.num_rows,
        },
        "left_out": {
            "train": dict(sorted(of_train.items())),
            "validation": dict(sorted(of_validation.items())),
        },
    }


def _without_matches(rows: pa.Table, checks: Sequence[Contamination]) -> tuple[pa.Table, Counter[str]]:
    """The rows that match no row of ``checks``, and how many match, by reason (``LeftOut.counts``)."""
    counts: Counter[str] = Counter()
    for check in checks:
        matched = check.match(rows, check.register(rows))
        rows = rows.filter(matched.kept)
        counts += matched.counts
    return rows, counts


def _joined(tables: Iterable[pa.Table], schema: pa.Schema = RENDERED) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(rendered_columns(table, schema.names) for table in tables)])


def _report(
    params: MixtureParams,
    parts: Mapping[str, pa.Table],
    shares: Mapping[Component, Quota],
    sources: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The content of ``report.json``.

    ``rows``: requested and realised rows. ``components``: for each task of a source its ``Quota``. ``sources``: the
    clean rows, the rows held out, and the rows left out, by the evaluation rows that they match.
    """
    components = {"/".join(component): quota.report() for component, quota in shares.items()}
    return {
        "schema": 1,
        "weighting": params.weighting,
        "rows": {"requested": params.rows, **{part: table.num_rows for part, table in parts.items()}},
        "short": params.rows is not None and parts["train"].num_rows < params.rows,
        "components": components,
        "sources": dict(sources),
    }


def run(name: str, params: MixtureParams, checked: ContaminationParams, paths: Paths, stage: Stage) -> None:
    """Write ``train.parquet`` and ``validation.parquet`` (columns: ``RENDERED``), ``report.json``, and the overlaps.

    The overlaps with test rows are ``contamination.parquet``, ``contamination.json`` and ``dirty.parquet``, which holds
    the rows of the evaluation set. Sources outside mixture and evaluation set change them only in two ways: training
    rows are left out for their rows, and n-grams common to many of their rows become set phrases.

    Raises:
        TunesmithError: as ``mix``; no validation row remains; or too many test rows are dirty in a source of the
            evaluation set or of the mixture. For other sources, this is logged.
    """
    for orphan in orphaned_splits(paths):
        logger.warning("data/splits/%s: not in params/sources.yaml, not checked; `tunesmith clean` removes it", orphan)
    mixed = mix(name, params, checked, paths)
    if not mixed.parts["validation"].num_rows:
        counts = mixed.report["sources"]
        raise TunesmithError(f"params/mixtures.yaml: mixtures.{name}: no validation row is left ({counts}); add data")
    evaluated = pq.read_table(paths.evaluation_set / "test.parquet", columns=list(ROW_KEY))
    _refuse_dirty(
        too_dirty(mixed.contamination, name, checked), {*params.sources, *evaluated.column("source").to_pylist()}
    )
    with stage.outputs(paths.mixture(name)) as (output,):
        output.mkdir()
        for part, rows in mixed.parts.items():
            pq.write_table(rows, output / f"{part}.parquet")
        pq.write_table(mixed.contamination, output / "contamination.parquet")
        pq.write_table(dirty_of(mixed.contamination, evaluated), output / "dirty.parquet")
        write_json(output / "contamination.json", summary(mixed.contamination, checked))
        write_json(output / "report.json", mixed.report)
    _log(name, mixed)


def _refuse_dirty(lines: Mapping[str, str], counted: Collection[str]) -> None:
    for source in sorted(lines.keys() - counted):
        logger.warning("%s (no experiment is scored on them)", lines[source])
    if refused := [line for source, line in lines.items() if source in counted]:
        raise TunesmithError("\n".join(refused))


def _log(name: str, mixed: Mixed) -> None:
    rows = mixed.report["rows"]
    requested = "" if rows["requested"] is None else f" of {rows['requested']:,} requested"
    logger.info(
        "%s: %s%s, %d for validation", name, counted(rows["train"], "training row"), requested, rows["validation"]
    )
    for component, quota in mixed.report["components"].items():
        lacks = " (short)" if quota["short"] else ""
        logger.info("  %s: %d of %d requested%s", component, quota["rows"], quota["requested"], lacks)
    for source, counts in mixed.report["sources"].items():
        for part, reasons in counts["left_out"].items():
            for reason, count in reasons.items():
                logger.info("  %s: %d %s rows left out, as in %s", source, count, part, reason)
