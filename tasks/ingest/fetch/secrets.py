"""Values that only the environment holds, and texts in which they must not appear."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote

from tasks.core.errors import TunesmithError

_REFERENCE = re.compile(r"\$\{(\w+)\}")
_ADDRESS = re.compile(r"[\w+.-]+://\S+")


def variable(name: str, where: str) -> str:
    """The value of the environment variable ``name``, which the parameter ``where`` names.

    Raises:
        TunesmithError: it is not set, or is empty.
    """
    value = os.environ.get(name, "")
    if not value:
        raise TunesmithError(
            f"{where}: the environment variable {name} must be set; it is not; set it in the terminal or the service "
            "that runs Tunesmith"
        )
    return value


def expanded(text: str, where: str) -> tuple[str, list[str]]:
    """``text`` with the value of NAME for each ``${NAME}``, and these values.

    Raises:
        TunesmithError: as ``variable``.
    """
    secrets = [variable(name, where) for name in _REFERENCE.findall(text)]
    return _REFERENCE.sub(lambda match: variable(match[1], where), text), secrets


def problem_without(error: Exception, secrets: Iterable[str]) -> str:
    """A library's error in one line, without addresses and without ``secrets``, in whichever way they are quoted."""
    text = _ADDRESS.sub("…", " ".join(str(error).split()))
    written = {form(secret) for secret in secrets if secret for form in (str, quote, _quote_all, quote_plus, unquote)}
    for secret in sorted(written, key=len, reverse=True):
        text = text.replace(secret, "***")
    return f"{type(error).__name__}: {text if len(text) <= 300 else f'{text[:300]}…'}"


def _quote_all(text: str) -> str:
    return quote(text, safe="")
