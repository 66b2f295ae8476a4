"""``tunesmith contamination``: test rows, or texts of a file, that occur in training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.terminal import console, workspace, write
from tasks.core.paths import Paths

SHOWN = 300
"""Characters of a text that ``--nearest`` shows."""


def contamination(
    mixture: Annotated[str | None, typer.Argument(help="A mixture of params/mixtures.yaml; all by default.")] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="JSONL, CSV, Parquet or text file whose texts are compared instead of the test rows."),
    ] = None,
    nearest: Annotated[
        int | None,
        typer.Option(min=1, help="List this many test rows with the training row nearest in meaning, to read."),
    ] = None,
) -> None:
    """Show how many test rows, or texts of a file, occur in the training rows of a mixture."""
    root = workspace()
    if nearest is not None:
        _show_nearest(Paths(root), mixture, against, nearest)
        return
    from flows.commands.build import stale_note
    from flows.commands.contamination import examine, mixtures_of

    for title, sets in examine(Paths(root), mixture, against):
        names = ("rows", "dirty", "exact", "near", "contained", "13-grams", "8-grams", "left out")
        table = Table("test rows of", *names, title=title)
        for name, cells in sets.items():
            table.add_row(name, *cells)
        console.print(table)
    console.print(
        "Counts of inputs + references. exact, near: equal, or nearly equal, to a training row; contained: a training "
        "row contains a long part; 13-grams, 8-grams: at least one in common. Row by row: "
        "data/mixtures/M/contamination.parquet",
        highlight=False,
    )
    if note := stale_note(root, [f"mix@{name}" for name in mixtures_of(Paths(root), mixture)], "these counts"):
        write(f"note: {note}")


def _show_nearest(paths: Paths, mixture: str | None, against: Path | None, count: int) -> None:
    from flows.commands.build import stale_note
    from flows.commands.contamination import mixtures_of
    from flows.commands.nearest import nearest

    names = mixtures_of(paths, mixture)
    for name in names:
        write(f"mixture {name}: similarity of the base model's hidden states; it decides nothing, so read the texts")
        for pair in nearest(paths, name, against, count):
            write(f"\n{pair.similarity:.3f}")
            write(f"  test  {pair.test}: {_shortened(pair.test_text)}")
            write(f"  train {pair.train}: {_shortened(pair.train_text)}")
    if note := stale_note(paths.root, [f"mix@{name}" for name in names], "these rows"):
        write(f"note: {note}")


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
