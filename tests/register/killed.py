"""SIGKILL at each write of a decision in turn: those to MLflow, the ledger, and the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.register import journal, keep

_MODEL = ("set_registered_model_tag", "set_registered_model_alias", "set_logged_model_tags", "create_model_version")
_VERSION = ("set_model_version_tag", "delete_model_version_tag", "update_model_version")
_DELETE = ("delete_registered_model_alias", "delete_registered_model_tag")
_RUN = ("log_artifacts", "log_batch", "set_tag")
WRITES = [(MlflowClient, name) for name in (*_MODEL, *_VERSION, *_DELETE, *_RUN)]
WRITES += [(journal, "begin"), (journal, "end"), (keep, "record"), (keep, "show")]  # type: ignore[list-item]


class Killed(BaseException):
    """Stands for SIGKILL: no code may catch it."""


def repeated_until_it_ends(work: Callable[[], Any], before: bool, patch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """Kill ``work`` at its first write, repeat it and kill it at its second, and so on; its result, and the kills.

    Args:
        before: kill before the write instead of after it.
    """
    writes: list[str] = []
    kills = 0

    def counted(owner: Any, name: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def write(*arguments: Any, **options: Any) -> Any:
            writes.append(name)
            if before and len(writes) > kills:
                raise Killed
            written = original(*arguments, **options)
            if len(writes) > kills:
                raise Killed
            return written

        return write

    with patch.context() as context:
        for owner, name in WRITES:
            context.setattr(owner, name, counted(owner, name))
        while True:
            writes.clear()
            try:
                return work(), kills
            except Killed:
                kills += 1
