"""Serve the flow ``retrain`` on a schedule (``tunesmith schedule``), and run it at once (``tunesmith trigger``)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from flows import schedules, served
from flows.approve import approve
from flows.retrain import retrain
from flows.run_names import run_name
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError

NAME = "retrain"
_FIRST_RUNS_WITHIN_S = 30
_CHECK_EVERY_S = 30
_TAKEN_WITHIN_S = 60

Print = Callable[[str], None]


def serve(root: Path, cron: str, zone: str | None, parameters: dict[str, Any], say: Print, warn: Print) -> None:
    """Serve ``retrain`` until it is interrupted. The UI's form can change the flow's parameters for each run.

    Args:
        zone: time zone of ``cron``; None for the machine's own.
        parameters: of the flow, for each run of the schedule.
        say: prints the next runs and how to start one by hand.
        warn: prints each problem that keeps the schedule from firing, once.

    Raises:
        TunesmithError: the cron line or the time zone is wrong, or no Prefect server answers.
    """
    zone = schedules.machine_zone() if zone is None else schedules.check_zone(zone)
    schedules.next_runs(cron, zone)  # refuses a cron line that never fires
    _refuse_unservable()
    from prefect.utilities.urls import url_for

    os.chdir(root)
    runner = schedule_runner()
    deployment = _add_flows(runner, cron, zone, parameters)
    if missed := served.drop_missed(deployment):
        say(f"{counted(missed, 'run')} fell due while nothing served the schedule; they are dropped")
    served.write_note(root, cron, zone)
    say(f"serving the flow retrain on the schedule {cron!r} in the time zone {zone}; the next runs:")
    for run in schedules.next_runs(cron, zone):
        say(f"  {schedules.in_zone(run)}")
    say(f"run it now, from any terminal:  {pasted(root, 'trigger')}")
    say(f"or from its form:  {url_for('deployment', obj_id=deployment)}")
    say("Ctrl-C ends the schedule: runs that fall due later do not start, until you serve it again")
    ended = threading.Event()
    threading.Thread(target=_watch, args=(root, ended, say, warn), daemon=True).start()
    try:
        asyncio.run(runner.start())
    except asyncio.CancelledError:  # SIGTERM
        pass
    finally:
        ended.set()
        served.note_of(root).unlink(missing_ok=True)
        served.pause(deployment)


def _refuse_unservable() -> None:
    """Raise TunesmithError without a Prefect server, or if workers start the runs of its deployment."""
    if "PREFECT_API_URL" not in os.environ:
        raise TunesmithError(
            "schedule: a Prefect server must run, and none does for this workspace; start one with `make ui`, or set "
            "PREFECT_API_URL"
        )
    state = served.look()
    if state is not None and state.pool is not None:
        raise TunesmithError(
            f"schedule: the flow retrain is deployed to the work pool {state.pool} of this server, whose workers start "
            f"its runs (`tunesmith worker`); to serve it from here, first end the worker and run "
            f"`{served.delete_command(served.NAME)}`; docs/workers.md names the other deployments with a schedule"
        )


def _add_flows(runner: Any, cron: str, zone: str, parameters: dict[str, Any]) -> UUID:
    """Add ``retrain`` and ``approve`` to the runner; the id of the deployment of ``retrain``."""
    from prefect.schedules import Cron

    deployment: UUID = runner.add_flow(
        retrain,
        name=NAME,
        schedule=Cron(cron, timezone=zone),
        parameters=parameters,
        description="Bring the workspace up to date, complete MLflow, and let the gate decide about a new champion.",
        tags=["tunesmith"],
    )
    runner.add_flow(
        approve,
        name=approve.name,
        description="Wait for a person to approve or reject the version that awaits approval.",
        tags=["tunesmith"],
    )
    return deployment


def schedule_runner() -> Any:
    """A runner of Prefect that ends on SIGTERM, together with its flow runs."""
    from prefect.runner import Runner

    class Served(Runner):
        """Prefect's runner; SIGTERM ends it and its flow runs, as Ctrl-C in a terminal does.

        Prefect's own handler never awaits the coroutine that would stop the runner, and waits for the runs to end.
        """

        async def start(self, *arguments: Any, **named: Any) -> None:
            self._serving = asyncio.current_task()
            self._events = asyncio.get_running_loop()
            await super().start(*arguments, **named)

        def handle_sigterm(self, *arguments: Any, **named: Any) -> None:
            assert self._serving is not None
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
                    child.terminate()
            self._events.call_soon_threadsafe(self._serving.cancel)

    return Served(name=NAME, pause_on_shutdown=False, limit=None)


def pasted(root: Path, *arguments: str) -> str:
    """A command line that runs ``tunesmith`` for this workspace in any terminal, without an activated environment."""
    command = [str(Path(sys.executable).with_name("tunesmith")), *arguments]
    own = {"PREFECT_API_URL": os.environ["PREFECT_API_URL"]} if not served.own_server(root) else {}
    variables = "".join(f"{name}={shlex.quote(value)} " for name, value in own.items())
    return f"cd {shlex.quote(str(root))} && {variables}{shlex.join(command)}"


def _watch(root: Path, ended: threading.Event, say: Print, warn: Print) -> None:
    """Print each problem that keeps the schedule from firing, and later that the schedule fires again."""
    printed, wait = None, _FIRST_RUNS_WITHIN_S
    while not ended.wait(wait):
        wait = _CHECK_EVERY_S
        problem = _hindrance(root)
        if problem and problem != printed:
            warn(f"the schedule does not fire: {problem}")
        elif printed and not problem:
            say("the schedule fires again")
        printed = problem


def _hindrance(root: Path) -> str | None:
    try:
        state = served.look()
    except TunesmithError as error:
        return f"{error}; start it again with `make ui`, then this schedule"
    if state is None:
        return "the Prefect server does not know it any more; end this schedule and start it again"
    return "it is paused in the Prefect UI" if state.paused else served.hindrance(root, state)


def trigger(root: Path, experiments: list[str] | None, say: Print, progress: Print) -> None:
    """Run the served flow now, and return once the process that serves it has started the run.

    Args:
        experiments: names that replace those of the schedule; None keeps them.

    Raises:
        TunesmithError: no server runs, nothing serves the flow, or the run does not start within a minute.
    """
    if served.api_url() is None:
        raise TunesmithError(
            "trigger: a Prefect server must run, and none does for this workspace; start one with `make ui`, then "
            "`tunesmith schedule`, or run the flow here with `tunesmith run`"
        )
    state = served.look()
    start = "`tunesmith schedule`" if state is None else state.remedy
    remedy = f"start it in another terminal with {start}, or run the flow here with `tunesmith run`"
    if state is None or not state.polled:
        raise TunesmithError(f"trigger: a process must serve the flow retrain, and none does; {remedy}")
    from prefect.client.orchestration import get_client
    from prefect.utilities.urls import url_for

    with get_client(sync_client=True) as client:
        chosen = {"experiments": experiments} if experiments else {}
        run = client.create_flow_run_from_deployment(state.deployment_id, parameters=chosen)
        client.set_flow_run_name(run.id, run_name(run.parameters))  # the flow itself names it only when it starts
        run = client.read_flow_run(run.id)
        progress(f"waiting for the flow run {run.name!r} to start")
        until = time.monotonic() + _TAKEN_WITHIN_S
        while run.state is None or run.state.is_scheduled():  # the process that serves the flow polls every 10 s
            if time.monotonic() > until and state.pool is not None:
                say(
                    f"the flow run {run.name!r} waits, since the workers are busy: {url_for('flow-run', obj_id=run.id)}"
                )
                return
            if time.monotonic() > until:
                client.delete_flow_run(run.id)
                raise TunesmithError(
                    f"trigger: nothing started the flow run {run.name!r} within {_TAKEN_WITHIN_S} s; "
                    f"Tunesmith deleted it; {remedy}"
                )
            time.sleep(1)
            run = client.read_flow_run(run.id)
    say(f"the flow run {run.name!r} starts; watch it:  {url_for('flow-run', obj_id=run.id)}")
    say(f"its log is also in the terminal of {state.remedy}")
