"""The command line ``tunesmith``. Each command reads its workspace, does one thing, and imports what it needs."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.commands.measuring import app as measuring_app
from flows.commands.measuring import print_comparison
from flows.commands.preferences import app as preferences_app
from flows.commands.serving import app as serving_app
from flows.commands.templates import app as templates_app
from flows.commands.terminal import console, log_to_stderr, say, workspace, write
from flows.workspace import leave_without_prefect, refuse_silent_prefect, start_own_prefect, workspace_lock
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.core.stage import Terminated, quieten_bitsandbytes, readable_errors, terminate

_HELP = """Turn raw text data into evaluated, registered instruction-tuned language models.

Prefect runs the pipeline, DVC versions its files, MLflow keeps runs and models. Begin with `tunesmith doctor`.
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=_HELP, pretty_exceptions_enable=False)
data_app = typer.Typer(no_args_is_help=True, help="Sources in data/sources.")
app.add_typer(data_app, name="data")
app.add_typer(templates_app, name="templates")
app.add_typer(preferences_app, name="preferences")
app.add_typer(measuring_app)
app.add_typer(serving_app)

NewSplit = Annotated[
    list[str] | None,
    typer.Option(
        help="Source (or all) whose rows may be split anew, if its split changed or is lost; may be repeated."
    ),
]


def main() -> None:
    """Entry point: errors of the user's are one line each, and the exit code is 1."""
    log_to_stderr()
    for noisy in ("httpx", "alembic", "mlflow", "dvc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    quieten_bitsandbytes()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A script's `tunesmith run &` inherits SIGINT ignored; it must end every command and its children all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with _one_line_errors():
        app()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        with readable_errors():
            yield
    except TunesmithError as error:
        for line in str(error).splitlines():
            Console(stderr=True, soft_wrap=True).print(f"error: {line}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except Terminated:
        sys.stderr.write("stopped by SIGTERM; what was finished stays\n")
        sys.exit(143)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was finished stays\n")
        sys.exit(130)


@app.command()
def run(
    experiment: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be repeated.")] = None,
    register: Annotated[bool, typer.Option(help="Ask the gate for a new champion at the end.")] = True,
    new_split: NewSplit = None,
) -> None:
    """Bring everything up to date: the flow `retrain`, once, now."""
    root = workspace()
    import httpx
    from prefect.exceptions import TerminationSignal

    from flows.commands.serving import check_experiments
    from flows.new_split import refuse_new_splits
    from flows.preflight import preflight
    from flows.retrain import retrain
    from tasks.tracking.client import open_store

    signal.signal(signal.SIGTERM, terminate)  # Prefect hands the signal on to this when it has ended its flow
    refuse_silent_prefect()
    preflight(Paths(root))  # what is wrong at once should not wait for a server to start
    refuse_new_splits(Paths(root), new_split)
    open_store(root)
    check_experiments(root, "run", experiment)
    try:
        start_own_prefect()
        state = retrain(experiments=experiment, register_model=register, new_split=new_split, return_state=True)
    except KeyboardInterrupt:  # typer would end without a word on what stays
        sys.stderr.write("interrupted; what was finished stays\n")
        raise typer.Exit(130) from None
    except TerminationSignal:
        raise Terminated(143) from None
    except httpx.TransportError as error:
        leave_without_prefect(error)
    if not state.is_completed():
        raise TunesmithError(str(state.message))
    print_comparison(root)
    console.print("\nLook at it:  [bold]make ui[/]   starts both pages and prints their addresses, or one at a time:")
    console.print("  [bold]tunesmith ui --only prefect[/]   the runs, a task a stage, with their logs")
    console.print("  [bold]tunesmith ui --only mlflow[/]    the experiments: losses, scores, models")


@app.command()
def status(
    verbose: Annotated[bool, typer.Option(help="Name every file, also of code and of stages never built.")] = False,
) -> None:
    """What runs next and why, as DVC sees it, and what the schedule does."""
    root = workspace()
    from flows.commands.status import print_status

    print_status(root, verbose)


@app.command()
def plan(
    experiment: Annotated[list[str] | None, typer.Option(help="Only this experiment; may be repeated.")] = None,
    samples: Annotated[bool, typer.Option(help="Show a decoded row a task with the supervised text marked.")] = True,
    memory: Annotated[bool, typer.Option(help="Also the memory each takes; some seconds an experiment.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="As --memory, for the model of this config.json instead of the base.")
    ] = None,
    new_split: NewSplit = None,
) -> None:
    """What training would learn from: each mixture, and the label contract of each experiment. Trains nothing."""
    root = workspace()
    from flows.commands.mixtures import show_mixtures
    from flows.commands.plan import gate_notes, mixtures_of, show
    from flows.commands.plan import plan as contracts
    from flows.preflight import preflight

    say("checking params/")
    preflight(Paths(root))
    contracts_of = contracts(root, experiment, say, new_split)
    mixtures = show_mixtures(Paths(root), mixtures_of(Paths(root), experiment))
    write(mixtures, show(contracts_of, samples))
    for note in gate_notes(Paths(root)):
        write(f"note: {note}")
    if memory or config:
        from flows.commands.memory_plan import draw_memory, plan_memory, show_memory
        from tasks.core import device

        free = device.free_memory_bytes()
        needs = plan_memory(root, list(contracts_of), say, free, config)
        picture = Paths(root).state / "plan" / "memory.png"
        draw_memory(needs, free, picture)
        console.print(show_memory(needs, free))
        console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


@data_app.command("add")
def data_add(
    files: Annotated[list[Path], typer.Argument(help="CSV, TSV, JSONL or Parquet files of one source.")],
    name: Annotated[str, typer.Option(help="Name of the source: data/sources/NAME.")],
    append: Annotated[bool, typer.Option("--append", help="Add the files to those that the source has.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the source's files first; lists them and asks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --replace: do not ask.")] = False,
    delimiter: Annotated[
        str | None, typer.Option(help="Delimiter of CSV files, if it is not clear: comma, semicolon, tab or pipe.")
    ] = None,
) -> None:
    """Check files, put them into data/sources/NAME, and let DVC version them."""
    root = workspace()
    from flows.commands.data import add

    if append and replace:
        raise TunesmithError("data add: --append keeps the files of the source, --replace removes them; give one")

    def confirm(going: str) -> bool:
        if not yes and sys.stdin.isatty():
            return typer.confirm(f"{going} Replace them?", err=True)
        if yes:
            write(going)
        return yes

    write(add(root, files, name, "append" if append else "replace" if replace else "new", delimiter, confirm))


@app.command()
def contamination(
    mixture: Annotated[str | None, typer.Argument(help="A mixture of params/mixtures.yaml; all by default.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="JSONL, CSV, Parquet or text: compare all its texts with the training rows.")
    ] = None,
) -> None:
    """How much of the test rows, or of a file, stands in the training rows of a mixture."""
    root = workspace()
    from flows.commands.build import stale_note
    from flows.commands.contamination import examine, mixtures_of

    for title, sets in examine(Paths(root), mixture, against):
        table = Table("test rows of", "rows", "dirty", "exact", "near", "13-grams", "8-grams", "left out", title=title)
        for name, cells in sets.items():
            table.add_row(name, *cells)
        console.print(table)
    console.print(
        "Inputs + references. exact, near: rows that a training row equals; 13-grams, 8-grams: rows that share any. "
        "A row each: data/mixtures/M/contamination.parquet",
        highlight=False,
    )
    if note := stale_note(root, [f"mix@{name}" for name in mixtures_of(Paths(root), mixture)], "these counts"):
        write(f"note: {note}")


@app.command()
def sync() -> None:
    """Complete or rebuild MLflow from the files, also after `dvc repro`, `dvc pull` or `dvc checkout`."""
    root = workspace()
    from tasks.tracking.sync import sync as synchronise

    with workspace_lock(root, "tunesmith sync"):
        results = synchronise(Paths(root), None)
    for result in results:
        console.print(f"{result.experiment}: {'completed' if result.changed else 'complete'}, run {result.run_id}")
    if not results:
        console.print("nothing to log: no experiment is trained yet")


@app.command()
def clean(
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    checkpoints: Annotated[bool, typer.Option(help="Also those that an interrupted training would resume.")] = False,
    cache: Annotated[bool, typer.Option(help="Also DVC's cache of all that no file here refers to.")] = False,
) -> None:
    """Remove what no parameter names any more: folders and their entries in dvc.lock. The registry is kept."""
    root = workspace()
    from flows.commands.clean import clean as remove

    for line in remove(root, dry_run, cache, checkpoints):
        console.print(line, markup=False, highlight=False)


@app.command()
def doctor() -> None:
    """Versions, processors, memory, disk, base model, tracking store: what works here and what does not."""
    root = workspace()
    from flows.commands.doctor import examine

    table = Table("", "checked", "result")
    findings = examine(root, say)
    for finding in findings:
        table.add_row("[green]ok[/]" if finding.ok else "[red]no[/]", finding.subject, finding.result)
    console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def champion(
    experiment: Annotated[
        str | None, typer.Option("--set", help="Make this experiment the champion, whatever the gate decided.")
    ] = None,
    because: Annotated[str | None, typer.Option(help="Reason, stored with the version. Needed with --set.")] = None,
) -> None:
    """Show the champion, since when and why it is one, and the gate's latest decision."""
    root = workspace()
    from flows.commands.champion import champion_lines, set_by_hand

    if experiment is None and because is not None:
        raise TunesmithError("champion: --because gives the reason of --set; add `--set EXPERIMENT`")
    if experiment is not None:
        set_by_hand(root, experiment, because)
    write("\n".join(champion_lines(root)))


if __name__ == "__main__":
    main()
