"""Wait until a stage may run, before its Prefect task starts: Prefect's timeline then shows the time of work alone.

Prefect resolves the parameters of a task before it sets the task to ``Running``. A ``Turn`` is such a parameter: it
waits for the stages that write the inputs, then for a processor or GPU. Meanwhile the task is ``Pending``, under the
name ``AwaitingInputs`` or ``AwaitingProcessor``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.context import TaskRunContext
from prefect.exceptions import UpstreamTaskError
from prefect.futures import PrefectConcurrentFuture, PrefectFuture
from prefect.states import Completed, Pending, State
from prefect.utilities.engine import emit_task_run_state_change_event

from flows.leases import Lease, gpus_of, needs_lease
from flows.subprocesses import stopped

_POLL_S = 0.5


class Turn(PrefectFuture[dict[str, str]]):
    """A future that is ready once a stage may run; its result are the environment variables of the stage's lease.

    Waiting in the order of submission cannot deadlock: a stage waits only for stages that were submitted before it,
    and takes its lease only when these have ended.

    Args:
        address: the stage.
        upstream: address → task of each stage of this flow that writes inputs of the stage.
    """

    def __init__(self, address: str, root: Path, upstream: Mapping[str, PrefectConcurrentFuture[Any]]) -> None:
        self._address, self._root, self._upstream = address, root, upstream
        self._lease: Lease | None = None
        self._final_state: State[dict[str, str]] | None = None

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
        """Wait for the inputs and for a lease. The end of the flow ends the wait for a lease; the task then fails.

        Raises:
            UpstreamTaskError: a stage that writes inputs has not completed; Prefect sets the task to ``NotReady``.
        """
        if context := TaskRunContext.get():
            context.task_run.name = self._address  # Prefect itself names a task only when it runs
        self._await_inputs()
        if needs_lease(self._address):
            self._lease = Lease(self._root, gpus_of(self._address, self._root))
            self._await_lease(self._lease)
        self._final_state = Completed(data=self._lease.variables() if self._lease else {})

    def _await_inputs(self) -> None:
        running = [address for address, future in self._upstream.items() if not future.wrapped_future.done()]
        if running:
            self._show("AwaitingInputs", f"waits for {', '.join(running)}")
        for future in self._upstream.values():
            future.wait()
        failed = [address for address, future in self._upstream.items() if not future.state.is_completed()]
        if failed:
            raise UpstreamTaskError(f"{self._address}: not run, since it depends on {', '.join(failed)}")

    def _await_lease(self, lease: Lease) -> None:
        if lease.take():
            return
        time.sleep(_POLL_S)  # the stage that ends just now gives its lease back a moment later
        if lease.take():
            return
        message = "waits for a processor or GPU that other experiments use"
        self._show("AwaitingProcessor", message)
        get_run_logger().info("%s: %s", self._address, message)
        while not stopped() and not lease.take():
            time.sleep(_POLL_S)

    def _show(self, name: str, message: str) -> None:
        """Show why the stage's task waits, as the name and message of its state."""
        context = TaskRunContext.get()
        if context is None:
            return
        run, before = context.task_run, context.task_run.state
        run.state = Pending(name=name, message=message, state_details=before.state_details if before else None)
        run.state_name = name
        emit_task_run_state_change_event(run, before, run.state)

    def release(self, task: PrefectFuture[Any]) -> None:
        """Give the lease back: the callback for the end of the stage's task, however it ended."""
        if self._lease:
            self._lease.release()

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
