"""Metrics by name: this project's from their folders, others from the hub."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, described
from tasks.metrics.evaluate_library import evaluate
from tasks.metrics.names import METRICS, is_hub

FOLDER = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """Load the ``evaluate.Metric`` ``name``: one of ``METRICS``, ``signs``, or ``hub:NAME[@REVISION]``.

    Raises:
        TunesmithError: the name is unknown, or the hub cannot be reached.
    """
    if is_hub(name):
        return _from_hub(name)
    if name not in (*METRICS, "signs"):
        raise TunesmithError(f"no metric {name!r}; there are: {', '.join(METRICS)}, and hub:NAME for one of the hub")
    # In memory: two evaluations at once would write the same files.
    return evaluate.load(str(FOLDER / name), keep_in_memory=True)


def _from_hub(name: str) -> Any:
    path, _, revision = name.removeprefix("hub:").partition("@")
    try:
        return evaluate.load(path, revision=revision or None, keep_in_memory=True)
    except (OSError, ImportError, ValueError) as error:
        raise TunesmithError(
            f"metric {name!r}: the hub must have it and be reachable, and what it imports be installed; "
            f"{described(error)}"
        ) from error
