"""Mixtures in ``tunesmith plan``: rows requested and taken, left out and held out."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.core.counted import counted
from tasks.core.files import read_json
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.mix.params import HoldOut, MixtureParams


def show_mixtures(paths: Paths, names: list[str]) -> RenderableType:
    """One table per mixture, from ``data/mixtures/M/report.json``, and what ``params/mixtures.yaml`` holds out."""
    file = paths.params / "mixtures.yaml"
    held = {name: load(MixtureParams, file, "mixtures", name).hold_out for name in names}
    return Group(*(mixture(name, read_json(paths.mixture(name) / "report.json"), held[name]) for name in names))


def mixture(name: str, report: dict[str, Any], held: HoldOut) -> RenderableType:
    rows = report["rows"]
    requested = "" if rows["requested"] is None else f" of {rows['requested']:,} requested"
    title = f"mixture {name}: {counted(rows['train'], 'training row')}{requested}, {rows['validation']:,} of validation"
    table = Table("source/task", "requested", "available", "taken", "")
    for component, quota in report["components"].items():
        numbers = [f"{quota[key]:,}" for key in ("requested", "available", "rows")]
        table.add_row(component, *numbers, _shortness(quota))
    lines = [line for source, counts in report["sources"].items() for line in _missing(source, counts)]
    for kind, names in (("tasks", held.tasks), ("templates", held.templates)):
        if names:
            lines.append(f"held-out {kind}, for evaluation alone: {', '.join(names)}")
    return Group(Text(title), table, *map(Text, lines), Text(""))


def _shortness(quota: dict[str, Any]) -> str:
    if not quota["available"]:
        return "none is left"
    return "short" if quota["short"] else ""


def _missing(source: str, counts: dict[str, Any]) -> list[str]:
    lines = []
    for part, reasons in counts["left_out"].items():
        if reasons:
            listed = ", ".join(f"{count} as in {reason}" for reason, count in reasons.items())
            lines.append(f"{source}: {counted(sum(reasons.values()), f'{part} row')} left out: {listed}")
    for part, count in counts["held_out"].items():
        if count:
            lines.append(f"{source}: {counted(count, f'{part} row')} held out")
    return lines
