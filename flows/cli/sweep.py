"""``tunesmith sweep``: search the parameters of an experiment."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.terminal import show, workspace, write
from tasks.core.paths import Paths
from tasks.core.stage import terminate

if TYPE_CHECKING:
    from flows.commands.sweep import Summary


def sweep(
    space: Annotated[Path, typer.Argument(help="YAML file of the sweep: name, like, space, trials (docs/sweeps.md).")],
    write_anyway: Annotated[
        bool, typer.Option("--write-anyway", help="Write the winner even if the check does not show that it is better.")
    ] = False,
) -> None:
    """Search a space with Optuna, check the winner on unseen validation rows, and write it as an experiment.

    Press Ctrl-C to stop. Run it again: ended trials are kept, and an interrupted one resumes.
    """
    root = workspace()
    signal.signal(signal.SIGTERM, terminate)
    from flows.commands.sweep import run_sweep

    summary = run_sweep(Paths(root), space.resolve(), write_anyway, write)
    _print(summary)


def _print(summary: Summary) -> None:
    from tasks.sweep.space import cell

    keys = list(summary.trials[0].values)
    table = Table("trial", *keys, "loss", "state", "stage")
    table.add_row("start", *("" for _ in keys), f"{summary.start:.4f}", "completed", summary.like)
    for trial in summary.trials:
        loss = "" if trial.loss is None else f"{trial.loss:.4f}"
        number = f"{'★ ' if trial.number == summary.best else ''}{trial.number}"
        stage = "" if trial.loss is None else f"trial@{trial.stage}"
        table.add_row(number, *(cell(trial.values[key]) for key in keys), loss, trial.state, stage)
    show(table)
    if summary.importances is not None:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in summary.importances.items())
        write(f"importance of the keys: {shares}")
    write(f"winner (trial {summary.best}) against {summary.like}: {summary.check.line()}")
    for line in summary.lines:
        write(line)
