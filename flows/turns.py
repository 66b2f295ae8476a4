"""Wait until a stage may run, before its Prefect task starts: Prefect's timeline then shows the time of work alone.

Prefect resolves the parameters of a task before it sets the task to ``Running``. A ``Turn`` is such a parameter: it
waits for the stages that write the inputs, then for a processor or GPU. Meanwhile the task is ``Pending``, under the
name ``AwaitingInputs`` or ``AwaitingProcessor``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.context import TaskRunContext
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.states import Cancelled, Completed, Pending, State
from prefect.utilities.engine import emit_task_run_state_change_event

from flows.leases import Lease, gpus_of
from flows.subprocesses import stopped

_POLL_S = 0.5


class Turn(PrefectFuture[dict[str, str]]):
    """A future that is ready once a stage may run; its result are the environment variables of the stage's lease.

    Waiting in the order of submission cannot deadlock: a stage waits only for stages that were submitted before it,
    and takes its lease only when these have ended.

    Args:
        address: the stage.
        upstream: address → task of each stage of this flow that writes inputs of the stage.
        leased: whether the stage needs a processor or GPU of this machine.
    """

    def __init__(
        self, address: str, root: Path, upstream: Mapping[str, PrefectConcurrentFuture[Any]], leased: bool
    ) -> None:
        self._address, self._root, self._upstream, self._leased = address, root, upstream, leased
        self._lease: Lease | None = None
        self._final_state: State[dict[str, str]] | None = None
        self._context: Context | None = None
        self._not_run: str | None = None

    @property
    def task_run_id(self) -> UUID:
        """No task run stands behind a turn; without an id, Prefect draws no arrow from it.

        Raises:
            AttributeError: always.
        """
        raise AttributeError("a turn has no task run")

    @property
    def state(self) -> State[dict[str, str]]:
        """``Pending`` until the stage may run, then ``Completed``."""
        return self._final_state or Pending()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the inputs and for a lease.

        If a stage that writes inputs has failed, no lease is taken, and Prefect itself refuses to run the task. The end
        of the flow ends the wait for a lease; the task then fails.
        """
        self._context = copy_context()
        if task := TaskRunContext.get():
            task.task_run.name = self._address  # Prefect itself names a task only when it runs
        self._await_inputs()
        if self._leased and not self._not_run:
            self._lease = Lease(self._root, gpus_of(self._address, self._root))
            self._await_lease(self._lease)
        self._final_state = Completed(data=self._lease.variables() if self._lease else {})

    def _await_inputs(self) -> None:
        running = [address for address, future in self._upstream.items() if not future.wrapped_future.done()]
        if running:
            _show(Pending(name="AwaitingInputs", message=f"waits for {', '.join(running)}"))
        for future in self._upstream.values():
            future.wait()
        failed = [address for address, future in self._upstream.items() if not future.state.is_completed()]
        if failed:
            self._not_run = f"{self._address}: not run, since it depends on {', '.join(failed)}"

    def _await_lease(self, lease: Lease) -> None:
        if lease.take():
            return
        time.sleep(_POLL_S)  # the stage that ends just now gives its lease back a moment later
        if lease.take():
            return
        message = "waits for a processor or GPU that other experiments use"
        _show(Pending(name="AwaitingProcessor", message=message))
        get_run_logger().info("%s: %s", self._address, message)
        while not stopped() and not lease.take():
            time.sleep(_POLL_S)

    def end(self, task: PrefectFuture[Any]) -> None:
        """Give the lease back: the callback for the end of the stage's task, however it ended.

        Prefect leaves a task whose inputs are missing in ``NotReady``, and draws it as waiting for ever. It becomes
        ``NotRun`` here, which is final.
        """
        if self._lease:
            self._lease.release()
        if self._not_run and self._context:
            self._context.run(_show, Cancelled(name="NotRun", message=self._not_run))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> dict[str, str]:
        """Wait, and return the environment variables of the lease."""
        self.wait(timeout)
        return self._lease.variables() if self._lease else {}

    def add_done_callback(self, fn: Callable[[PrefectFuture[dict[str, str]]], None]) -> None:
        """Prefect adds callbacks only to futures of task runs.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("a turn calls nothing back")


def _show(state: State[Any]) -> None:
    """Make ``state`` the one that Prefect shows for the task of this context."""
    task = TaskRunContext.get()
    if task is None:
        return
    run: Any = task.task_run
    before = run.state
    run.state, run.state_type, run.state_name = state, state.type, state.name
    if state.is_final():
        run.start_time = run.end_time = state.timestamp
    emit_task_run_state_change_event(run, before, state)
