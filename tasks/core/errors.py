"""The one error a user is meant to read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TunesmithError(Exception):
    """A rule was broken by input, parameters or surroundings, not by the code.

    The message is one line a problem: place (file and key, or row), rule, value, remedy.
    Entry points print it without a traceback and exit with 1.
    """


def described(error: Exception) -> str:
    """An error of others in one line: its kind and the beginning of its message."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said if len(said) <= 300 else f'{said[:300]}…'}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``; did you mean 'accuracy'?`` for the known name most similar to ``name``; empty where none is similar."""
    similar = get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""
