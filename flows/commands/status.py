"""``tunesmith status``: which stages run next and why, and when the schedule fires."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from flows import served
from flows.dag import Dag, read_dag
from flows.new_split import new_splits
from flows.preflight import preflight
from flows.schedules import in_zone, next_runs
from flows.terminal import console, write
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.resolve.__main__ import rewritten


def print_status(root: Path, verbose: bool) -> None:
    """Print the stages, then the schedule if there is one.

    Raises:
        TunesmithError: the parameters are wrong.
    """
    paths = Paths(root)
    preflight(paths)
    _print_stages(read_dag(root), rewritten(paths), verbose)
    for one in new_splits(paths):
        write(f"{one.source}: its rows would be split anew: {one.why()}; `tunesmith run` stops there")
    for line in schedule_lines(root):
        write(line)


def _print_stages(dag: Dag, changed: list[str], verbose: bool) -> None:
    if not dag.stale:
        console.print(f"all {len(dag.order)} stages are up to date")
        return
    certain, possible = dag.outlook(changed)
    title = f"{len(certain)} of {counted(len(dag.order), 'stage')} will run"
    if possible:
        title += f", {len(possible)} more only if what they read changes"
    table = Table("stage", "why it runs", title=title)
    for address, why in certain.items():
        table.add_row(address, "\n".join(dag.why(address, verbose) if address in dag.stale else why))
    for address, why in possible.items():
        table.add_row(address, "\n".join(why), style="dim")
    console.print(table)
    trained = [address for address in certain if address.startswith("train@")]
    if trained:
        write(f"{', '.join(trained)} will run; `dvc repro -s STAGE` runs one stage and none after it")
    for address in possible:
        if address.startswith("train@"):
            write(f"{address} will run {possible[address][0]}")


def schedule_lines(root: Path) -> list[str]:
    """Whether the schedule is served, and its next runs. Empty if no schedule is known; never raises an error."""
    note = served.read_note(root)
    if served.api_url() is None:
        if note is None:
            return []
        return [
            f"schedule {note['cron']!r} of {note['timezone']}: does not fire, since no Prefect server answers; "
            "start one with `make ui`, then `tunesmith schedule`"
        ]
    try:
        state = served.look()
    except TunesmithError as error:
        return [f"schedule: {error}"]
    if state is None or state.cron is None:
        remedy = "`tunesmith schedule` serves one"
        if state is not None and state.pool is not None:
            remedy = "add one to the deployment retrain in infra/prefect.yaml, then `tunesmith deploy`"
        return [f"schedule: none; {remedy}"]
    return _lines(root, state)


def _lines(root: Path, state: served.Served) -> list[str]:
    head = f"schedule {state.cron!r} of {state.zone}: "
    if not state.polled:
        return [f"{head}does not fire, since nothing serves it; start it again with {state.remedy}"]
    if state.paused:
        return [f"{head}does not fire, since it is paused; resume it in the Prefect UI, or serve it again"]
    if problem := served.hindrance(root, state):
        return [f"{head}is served, but does not fire: {problem}"]
    # Prefect makes runs 100 days ahead: of a yearly schedule there are none yet.
    runs = state.coming if len(state.coming) == 3 else next_runs(str(state.cron), state.zone)
    return [f"{head}is served; the next runs:", *(f"  {in_zone(run)}" for run in runs)]
