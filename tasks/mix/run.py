"""``mix@M``: train and validation rows of its sources → ``data/mixtures/M/``. Test rows are never mixed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.core.errors import TunesmithError
from tasks.core.files import write_json
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.mix.components import (
    Source,
    by_task,
    hold_out,
    read_source,
    refuse_lost_sources,
    refuse_unknown_hold_outs,
    tasks_of,
)
from tasks.mix.contamination import COMPARED, Contamination, dirty_of, summary, too_dirty
from tasks.mix.params import ContaminationParams, MixtureParams
from tasks.mix.weights import Component, Quota, quotas
from tasks.split.parts import draw, orphaned_splits, part_table, split_sources
from tasks.text.rows import RENDERED

logger = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class Mixed:
    """A mixture.

    Attributes:
        parts: ``train`` and ``validation`` → rows (columns: ``RENDERED``).
        report: what was asked and what became of it: ``report.json``.
        contamination: the test rows of all split sources (columns: ``contamination.ROWS``).
    """

    parts: dict[str, pa.Table]
    report: dict[str, Any]
    contamination: pa.Table


def mix(name: str, params: MixtureParams, checked: ContaminationParams, paths: Paths) -> Mixed:
    """Draw the mixture ``name``.

    A row is left out when it equals or nearly equals a test row of *any* split source, and a training row also when
    it does a validation row of one.

    Raises:
        TunesmithError: a source has no split, a hold-out names nothing, or ``refuse_lost_sources`` stops.
    """
    where = f"params/mixtures.yaml: mixtures.{name}"
    sources = [read_source(paths, source, f"{where}.sources") for source in sorted(params.sources)]
    refuse_unknown_hold_outs(sources, params.hold_out, f"{where}.hold_out")
    test, watched = (Contamination(evaluation_rows(paths, part), part, checked) for part in ("test", "validation"))
    components: dict[Component, pa.Table] = {}
    validation: list[pa.Table] = []
    report: dict[str, Any] = {}
    for source in sources:
        allowed = Source(source.name, *(hold_out(rows, params.hold_out) for rows in (source.train, source.validation)))
        clean, report[source.name] = _without_evaluation_rows(source, allowed, test, watched)
        asked = tasks_of(allowed.train)  # one whose rows all equal evaluation rows is short; a held-out one is not
        components |= by_task(source.name, clean.train, asked, params.sources[source.name].limit, params.seed)
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


def evaluation_rows(paths: Paths, part: str) -> pa.Table:
    """Rows of ``part`` of every split source, in the order of their names (columns: ``contamination.COMPARED``)."""
    tables = (part_table(paths, source, part, "data/splits", COMPARED) for source in split_sources(paths))
    return _joined((table.select(COMPARED) for table in tables), pa.schema([RENDERED.field(c) for c in COMPARED]))


def _without_evaluation_rows(
    source: Source, allowed: Source, test: Contamination, watched: Contamination
) -> tuple[Source, dict[str, Any]]:
    """The rows that no evaluation row equals, and the counts of those that are not ``allowed`` or not clean."""
    tested = test.find(allowed.train, test.register(allowed.train))
    rest = allowed.train.filter(tested.kept)
    seen = watched.find(rest, watched.register(rest))
    validation = test.find(allowed.validation, test.register(allowed.validation))
    clean = Source(source.name, rest.filter(seen.kept), allowed.validation.filter(validation.kept))
    return clean, {
        "train": clean.train.num_rows,
        "held_out": {
            "train": source.train.num_rows - allowed.train.num_rows,
            "validation": source.validation.num_rows - allowed.validation.num_rows,
        },
        "left_out": {
            "train": dict(sorted((tested.counts + seen.counts).items())),
            "validation": dict(sorted(validation.counts.items())),
        },
    }


def _joined(tables: Iterable[pa.Table], schema: pa.Schema = RENDERED) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(table.cast(schema) for table in tables)])


def _report(
    params: MixtureParams,
    parts: Mapping[str, pa.Table],
    shares: Mapping[Component, Quota],
    sources: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """``report.json``.

    ``rows`` asked and realised; ``components``: for each task of a source what its weight asked for, what it has, what
    it gave and whether that was short; ``sources``: the clean rows, those held out and those left out by what they
    equal.
    """
    components = {"/".join(component): asdict(quota) | {"short": quota.short} for component, quota in shares.items()}
    return {
        "schema": 1,
        "weighting": params.weighting,
        "rows": {"asked": params.rows, **{part: table.num_rows for part, table in parts.items()}},
        "short": params.rows is not None and parts["train"].num_rows < params.rows,
        "components": components,
        "sources": dict(sources),
    }


def run(name: str, params: MixtureParams, checked: ContaminationParams, paths: Paths, stage: Stage) -> None:
    """Write ``train.parquet``, ``validation.parquet`` (columns: ``RENDERED``), ``report.json`` and what is known of
    overlaps with test rows: ``contamination.parquet``, ``contamination.json`` and, of the rows that experiments meet,
    ``dirty.parquet``. Another source reaches that only through the training rows that it takes out, and the n-grams
    that it makes a set phrase.

    Raises:
        TunesmithError: as ``mix``; no validation row is left, or too many test rows of a source that experiments meet
            or that the mixture names are dirty. Of other sources this is logged.
    """
    for orphan in orphaned_splits(paths):
        logger.warning("data/splits/%s: not in params/sources.yaml, not checked; `tunesmith clean` removes it", orphan)
    mixed = mix(name, params, checked, paths)
    if not mixed.parts["validation"].num_rows:
        found = mixed.report["sources"]
        raise TunesmithError(f"params/mixtures.yaml: mixtures.{name}: no validation row is left ({found}); add data")
    met = pq.read_table(paths.evaluation_set / "test.parquet", columns=list(COMPARED))
    _refuse_dirty(too_dirty(mixed.contamination, name, checked), {*params.sources, *met.column("source").to_pylist()})
    with stage.outputs(paths.mixture(name)) as (output,):
        output.mkdir()
        for part, rows in mixed.parts.items():
            pq.write_table(rows, output / f"{part}.parquet")
        pq.write_table(mixed.contamination, output / "contamination.parquet")
        pq.write_table(dirty_of(mixed.contamination, met), output / "dirty.parquet")
        write_json(output / "contamination.json", summary(mixed.contamination, checked))
        write_json(output / "report.json", mixed.report)
    _log(name, mixed)


def _refuse_dirty(lines: Mapping[str, str], counted: Collection[str]) -> None:
    for source in sorted(lines.keys() - counted):
        logger.warning("%s (no test score is of them)", lines[source])
    if refused := [line for source, line in lines.items() if source in counted]:
        raise TunesmithError("\n".join(refused))


def _log(name: str, mixed: Mixed) -> None:
    logger.info("%s: %s", name, mixed.report["rows"])
    for component, quota in mixed.report["components"].items():
        lacks = " (short)" if quota["short"] else ""
        logger.info("  %s: %d of %d asked%s", component, quota["rows"], quota["asked"], lacks)
    for source, found in mixed.report["sources"].items():
        for part, reasons in found["left_out"].items():
            for reason, count in reasons.items():
                logger.info("  %s: %d %s rows left out, as in %s", source, count, part, reason)
