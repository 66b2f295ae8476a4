"""``tunesmith run``: the flow ``retrain``, once, now."""

from __future__ import annotations

import signal
import sys

import typer

from flows.cli.compare import print_comparison
from flows.cli.options import Experiments, NewSplit, Refresh, Register
from flows.terminal import console, workspace
from flows.workspace import leave_without_prefect, refuse_silent_prefect, start_own_prefect
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.core.stage import Terminated, terminate


def run(
    experiments: Experiments = None, register: Register = True, new_split: NewSplit = None, refresh: Refresh = False
) -> None:
    """Train, evaluate and compare what is out of date; then the gate decides about a new champion."""
    root = workspace()
    import httpx
    from prefect.exceptions import TerminationSignal

    from flows.commands.experiments import check_experiments
    from flows.new_split import refuse_new_splits
    from flows.preflight import preflight
    from flows.retrain import retrain
    from tasks.tracking.client import open_store

    signal.signal(signal.SIGTERM, terminate)  # Prefect passes the signal on to this when it has ended its flow
    refuse_silent_prefect()
    preflight(Paths(root))  # errors that are known at once should not wait for a server to start
    refuse_new_splits(Paths(root), new_split)
    open_store(root)
    check_experiments(Paths(root), "run", experiments)
    try:
        start_own_prefect()
        state = retrain(
            experiments=experiments,
            register_model=register,
            new_split=new_split,
            refresh=refresh,
            return_state=True,
        )
    except KeyboardInterrupt:  # typer would end without a message
        sys.stderr.write("interrupted; what was finished stays\n")
        raise typer.Exit(130) from None
    except TerminationSignal:
        raise Terminated(143) from None
    except httpx.TransportError as error:
        leave_without_prefect(error)
    if not state.is_completed():
        raise TunesmithError(str(state.message))
    print_comparison(root)
    console.print("\nTo see more:  [bold]make ui[/]   starts both pages and prints their addresses, or one at a time:")
    console.print("  [bold]tunesmith ui --only prefect[/]   runs, one task per stage, with their logs")
    console.print("  [bold]tunesmith ui --only mlflow[/]    experiments: losses, scores, models")
