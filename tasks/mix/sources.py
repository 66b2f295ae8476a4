"""The sources of a mixture: their rows, their tasks, and the rows that are held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.mix.params import ContaminationParams, HoldOut
from tasks.mix.quotas import Component
from tasks.split.parts import draw, part_table


@dataclass(frozen=True)
class Source:
    """Training and validation rows (columns: ``RENDERED``) of a source that a mixture names."""

    name: str
    train: pa.Table
    validation: pa.Table


def read_source(paths: Paths, name: str, where: str) -> Source:
    """Read the training and validation rows of a split source; raises what ``part_table`` raises."""
    return Source(name, part_table(paths, name, "train", where), part_table(paths, name, "validation", where))


def templates_of(table: pa.Table) -> pa.Array:
    """``SOURCE/ID`` of the template of each row."""
    return pc.binary_join_element_wise(table.column("source"), table.column("template_id"), "/")


def refuse_unknown_hold_outs(sources: Sequence[Source], held: HoldOut, where: str) -> None:
    """Refuse a hold-out that names a task or template that no row has: it would hold out nothing.

    Raises:
        TunesmithError: names are unknown; one line for each, with the known names.
    """
    tables = [table for source in sources for table in (source.train, source.validation)]
    known = {
        "tasks": {task for table in tables for task in tasks_of(table)},
        "templates": {name for table in tables for name in pc.unique(templates_of(table)).to_pylist()},
    }
    lines = [
        f"{where}.{kind}: no row of the mixture's sources has the {kind.removesuffix('s')} {name!r}; "
        f"there are: {', '.join(sorted(known[kind]))}"
        for kind, names in (("tasks", held.tasks), ("templates", held.templates))
        for name in names
        if name not in known[kind]
    ]
    if lines:
        raise TunesmithError("\n".join(lines))


def hold_out(table: pa.Table, held: HoldOut) -> pa.Table:
    """The rows of ``table`` whose task and template are not held out."""
    tasks = pc.is_in(table.column("task"), pa.array(held.tasks, pa.string()))
    templates = pc.is_in(templates_of(table), pa.array(held.templates, pa.string()))
    return table.filter(pc.invert(pc.or_(tasks, templates)))


def tasks_of(table: pa.Table) -> set[str]:
    """The names of the tasks in ``table``."""
    return set(pc.unique(table.column("task")).to_pylist())


def by_task(
    source: str, table: pa.Table, tasks: Iterable[str], most: int | None, seed: int
) -> dict[Component, pa.Table]:
    """The rows of each of ``tasks``, at most ``most`` per task, in the order of the draw."""
    column = table.column("task")
    return {(source, task): draw(table.filter(pc.equal(column, task)), most, seed) for task in sorted(tasks)}


def _remedy(source: str, reasons: Iterable[str]) -> str:
    """What to do about the rows left out; ``reasons`` begin with ``SOURCE/PART`` of the evaluation rows."""
    if all(reason.startswith(f"{source}/") for reason in reasons):
        return f"set sources.{source}.template.group in params/sources.yaml to a column whose value such rows share"
    return "remove one of the two from params/sources.yaml"


def refuse_lost_sources(counts: Mapping[str, Mapping[str, Any]], params: ContaminationParams, where: str) -> None:
    """Refuse a source without training rows, or with more than ``max_left_out`` of them left out.

    Args:
        counts: source → ``train`` (rows that remain), ``held_out`` and ``left_out``, as in ``report.json``.

    Raises:
        TunesmithError: a source is refused; the error has one line for each.
    """
    lines = []
    for source, counted in counts.items():
        held, reasons = counted["held_out"]["train"], counted["left_out"]["train"]
        left_out = sum(reasons.values())
        allowed = counted["train"] + left_out
        details = "; ".join(f"{count} as in {reason}" for reason, count in reasons.items())
        if not counted["train"]:
            lines.append(
                f"{where}.{source}: a source must give training rows; it gives none of its {allowed + held} "
                f"(held out: {held}; matching evaluation rows: {left_out}{f': {details}' if details else ''}); "
                "take it out of `sources`, or give it training rows"
            )
        elif left_out > params.max_left_out * allowed:
            lines.append(
                f"{where}.{source}: at most {params.max_left_out:.1%} of the training rows may be left out because "
                f"they match evaluation rows; {left_out} of {allowed} ({left_out / allowed:.1%}) are: {details}; "
                f"{_remedy(source, reasons)}, or raise contamination.max_left_out in params/mixtures.yaml"
            )
    if lines:
        raise TunesmithError("\n".join(lines))
