"""The one error that users read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TunesmithError(Exception):
    """Input, parameters or the environment break a rule; the code does not.

    The message has one line per problem: location (file and key, or row), rule, value, remedy. Entry points print it
    without a traceback, and exit with the code of its kind (``tasks.core.faults``).
    """


class DivergedError(TunesmithError):
    """A training whose loss is no longer finite."""


def described(error: Exception) -> str:
    """A library's error in one line: its type and the beginning of its message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message if len(message) <= 300 else f'{message[:300]}…'}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``; did you mean 'accuracy'?`` for the known name most similar to ``name``; empty if none is similar."""
    similar = get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""
