"""The one error a user is meant to read."""


class TunesmithError(Exception):
    """A rule was broken by input, parameters or surroundings, not by the code.

    The message is one line a problem: place (file and key, or row), rule, value, remedy.
    Entry points print it without a traceback and exit with 1.
    """


def described(error: Exception) -> str:
    """An error of others in one line: its kind and the beginning of its message."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said if len(said) <= 300 else f'{said[:300]}…'}"
