"""``tunesmith experiments``: entries of ``params/experiments.yaml``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from flows.terminal import workspace, write
from flows.workspace import workspace_lock
from tasks.core.paths import Paths

app = typer.Typer(no_args_is_help=True, help="Add experiments to params/experiments.yaml.")


@app.command()
def seeds(
    experiment: Annotated[str, typer.Argument(help="The experiment to repeat.")],
    count: Annotated[int, typer.Option(min=1, help="Number of new seeds, besides the experiment's own.")] = 2,
    first: Annotated[
        int | None, typer.Option(min=0, help="Smallest new seed; by default the one after the experiment's own.")
    ] = None,
) -> None:
    """Repeat an experiment with other seeds, so that the comparison shows how much a score depends on the seed."""
    root = workspace()
    from flows.commands.seeds import add_seeds

    with workspace_lock(root, "tunesmith experiments seeds"):
        repeats = add_seeds(Paths(root), experiment, count, first)
    for line in repeats.lines():
        write(line)


@app.command()
def sets() -> None:
    """List the ready sets of experiments, each with the question that it answers."""
    from flows.commands.sets.library import list_sets

    for line in list_sets():
        write(line)


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="A set; `tunesmith experiments sets` lists them.")],
    source: Annotated[
        str | None, typer.Option(help="Source to train on; by default the only one of evaluation_set.sources.")
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(
            help="For model-size, at least twice, the smallest first: a base model (a key of base_models, a folder, "
            "embedded:…, or HUB_ID@REVISION)."
        ),
    ] = None,
    values: Annotated[
        str | None, typer.Option(help="For a sweep: values of its axis, such as 1,4,16; by default all.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Begin the names of all new entries with this text.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the entries and write nothing.")] = False,
) -> None:
    """Add a ready set of experiments below your own entries in params/.

    No entry of yours changes. Of data-size, a size without enough training rows is left out if the split is built.
    Otherwise `tunesmith plan` builds it, and marks each mixture that is short.
    """
    root = workspace()
    from flows.commands.sets.use import Choice
    from flows.commands.sets.use import use as plan_set
    from flows.commands.write_blocks import write_texts

    chosen = [value.strip() for value in values.split(",")] if values is not None else None
    choice = Choice(name, source, base or [], chosen, prefix)
    with nullcontext() if dry_run else workspace_lock(root, "tunesmith experiments use"):
        planned = plan_set(Paths(root), choice)
        texts, lines = planned.texts(), planned.lines()
        if not dry_run:
            write_texts(texts)
    if dry_run:
        write(planned.blocks())
        write("--dry-run: nothing was written. Without it:")
    for line in lines:
        write(line)
