"""The channel between a sweep and its running trial: it reports each validation loss and learns if it continues.

The trial waits for each decision, so the sweep's speed does not decide which trials are pruned.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from tasks.core.errors import TunesmithError

ADDRESS = "TUNESMITH_SWEEP_ADDRESS"
"""Variable with the socket of the sweep; without it (``dvc repro trial@X``) a trial is never pruned."""

Decide = Callable[[int, float], bool]
"""Takes an epoch and the validation loss after it; returns whether the trial goes on."""


class PrunedError(TunesmithError):
    """The sweep ended this trial before its last epoch."""


class Sweep:
    """The sweep, as its running trial sees it; without a connection every trial goes on."""

    def __init__(self, connection: Connection | None) -> None:
        self._connection = connection

    def report(self, epoch: int, loss: float) -> None:
        """Report the validation loss after ``epoch``, and wait for the decision.

        Raises:
            PrunedError: the sweep prunes the trial.
            TunesmithError: the sweep has ended.
        """
        if self._connection is None:
            return
        try:
            self._send({"epoch": epoch, "loss": loss})
            goes_on = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise TunesmithError("the sweep that started this trial has ended; run `tunesmith sweep` again") from None
        if not goes_on:
            raise PrunedError(f"pruned by the sweep after epoch {epoch} with validation loss {loss:.4f}")

    def diverged(self, reason: str) -> None:
        """Report that the loss is no longer finite."""
        if self._connection is not None:
            self._send({"diverged": reason})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._connection is not None
        self._connection.send_bytes(json.dumps(message).encode())


@contextmanager
def connected() -> Iterator[Sweep]:
    """Connect this trial to its sweep, if one started it."""
    address = os.environ.get(ADDRESS)
    if address is None:
        yield Sweep(None)
        return
    with Client(address, family="AF_UNIX") as connection:
        yield Sweep(connection)


class Ended:
    """How a trial ended, as far as the channel tells.

    Attributes:
        pruned: why the trial was ended early, or diverged; None if neither.
        error: what ``decide`` raised, such as a lost connection to MLflow.
    """

    def __init__(self) -> None:
        self.pruned: str | None = None
        self.error: Exception | None = None


@contextmanager
def listening(decide: Decide) -> Iterator[tuple[str, Ended]]:
    """Answer one trial at a time in a thread; yield the address for the variable ``ADDRESS``, and how the trial ended.

    The socket lies in a folder that only this user may enter.
    """
    listener, ended, closing = Listener(family="AF_UNIX"), Ended(), threading.Event()
    thread = threading.Thread(target=_answer_trials, args=(listener, decide, ended, closing), daemon=True)
    thread.start()
    try:
        yield str(listener.address), ended
    finally:
        closing.set()
        with suppress(OSError):  # the thread waits for a connection
            Client(str(listener.address), family="AF_UNIX").close()
        thread.join(timeout=5)
        listener.close()


def _answer_trials(listener: Listener, decide: Decide, ended: Ended, closing: threading.Event) -> None:
    while True:
        connection = listener.accept()
        with connection:
            if closing.is_set():
                return
            try:
                while True:
                    _answer(connection, json.loads(connection.recv_bytes()), decide, ended)
            except (EOFError, OSError):  # the trial ended
                continue


def _answer(connection: Connection, message: dict[str, Any], decide: Decide, ended: Ended) -> None:
    if "diverged" in message:
        ended.pruned = "diverged"
        return
    try:
        goes_on = decide(message["epoch"], message["loss"])
    except Exception as error:  # raised again by the sweep, when the trial has ended
        ended.error, goes_on = error, False
    else:
        if not goes_on:
            ended.pruned = f"pruned after epoch {message['epoch']}"
    connection.send_bytes(json.dumps(goes_on).encode())
