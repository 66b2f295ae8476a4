"""``reports/drift/drift.json``: the latest result about the champion that was announced."""

from __future__ import annotations

from typing import Any

from tasks.core import files
from tasks.core.paths import Paths


def store(result: dict[str, Any], paths: Paths) -> None:
    """Write ``result`` of ``tasks.drift.run.run``."""
    with files.replacing(paths.drift) as temporary:
        files.write_json(temporary, result)


def read_stored(paths: Paths) -> dict[str, Any] | None:
    """The latest stored result; None without one."""
    return files.read_json(paths.drift) if paths.drift.exists() else None
