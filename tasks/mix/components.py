"""The parts of a mixture's sources: their rows, what of them is held out, and the tasks that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import TunesmithError
from tasks.mix.draw import draw, part_table
from tasks.mix.params import HoldOut
from tasks.mix.weights import Component
from tasks.paths import Paths


@dataclass(frozen=True)
class Source:
    """Training and validation rows (columns: ``RENDERED``) of a source that a mixture names."""

    name: str
    train: pa.Table
    validation: pa.Table


def read_source(paths: Paths, name: str, asked_by: str) -> Source:
    """Raises what ``part_table`` raises."""
    return Source(name, part_table(paths, name, "train", asked_by), part_table(paths, name, "validation", asked_by))


def templates_of(table: pa.Table) -> pa.Array:
    """``SOURCE/ID`` of the template of each row."""
    return pc.binary_join_element_wise(table.column("source"), table.column("template_id"), "/")


def refuse_unknown_hold_outs(sources: Sequence[Source], held: HoldOut, where: str) -> None:
    """Refuse a hold-out that no row of the sources has: it would hold out nothing.

    Raises:
        TunesmithError: one line a name, with the known ones.
    """
    tables = [table for source in sources for table in (source.train, source.validation)]
    known = {
        "tasks": {task for table in tables for task in pc.unique(table.column("task")).to_pylist()},
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


def by_task(source: str, table: pa.Table, most: int | None, seed: int) -> dict[Component, pa.Table]:
    """The rows of each task, ``most`` at most, in the order of the draw."""
    tasks = sorted(pc.unique(table.column("task")).to_pylist())
    return {(source, task): draw(table.filter(pc.equal(table.column("task"), task)), most, seed) for task in tasks}
