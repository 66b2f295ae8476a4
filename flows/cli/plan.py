"""``tunesmith plan``: mixtures, label contracts and memory, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Experiments, NewSplit
from flows.terminal import console, say, workspace, write
from tasks.core.paths import Paths


def plan(
    experiments: Experiments = None,
    samples: Annotated[bool, typer.Option(help="Show one decoded row per task, its supervised text marked.")] = True,
    memory: Annotated[bool, typer.Option(help="Also plan the memory; takes some seconds per experiment.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="Plan the memory for the model of this config.json instead of the base model.")
    ] = None,
    new_split: NewSplit = None,
) -> None:
    """Show each mixture, what each experiment would learn from it (its label contract), and the smallest difference
    that the test rows can show. Trains nothing."""
    root = workspace()
    from flows.commands.mixtures import show_mixtures
    from flows.commands.plan import gate_notes, mixtures_of, show
    from flows.commands.plan import plan as contracts
    from flows.commands.power import power_lines
    from flows.preflight import preflight
    from flows.sources.fetched import refuse_unfetched

    say("checking params/")
    preflight(Paths(root))
    refuse_unfetched(root)
    contracts_of = contracts(root, experiments, say, new_split)
    mixtures = show_mixtures(Paths(root), mixtures_of(Paths(root), experiments))
    write(mixtures, show(contracts_of, samples))
    for line in power_lines(Paths(root)):
        write(line)
    for note in gate_notes(Paths(root)):
        write(f"note: {note}")
    if memory or config:
        _print_memory(root, list(contracts_of), config)


def _print_memory(root: Path, experiments: list[str], config: Path | None) -> None:
    from flows.commands.memory_plan import draw_memory, plan_memory, show_memory
    from tasks.core import device

    free = device.free_memory_bytes()
    plans = plan_memory(root, experiments, say, free, config)
    picture = Paths(root).state / "plan" / "memory.png"
    draw_memory(plans, free, picture)
    console.print(show_memory(plans, free))
    console.print(f"picture: {picture}", highlight=False, soft_wrap=True)
