"""SIGKILL at each write of MLflow's client in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

WRITES = [f"set_registered_model_{what}" for what in ("tag", "alias")]
WRITES += ["create_model_version", "log_artifacts", "log_batch", "set_model_version_tag"]
WRITES += ["delete_registered_model_alias", "delete_model_version_tag", "update_model_version"]


class Killed(BaseException):
    """Stands for SIGKILL: no code may catch it."""


def repeated_until_it_ends(work: Callable[[], Any], before: bool, patch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """Kill ``work`` at its first write, repeat it and kill it at its second, and so on; its result, and the kills.

    Args:
        before: kill before the write instead of after it.
    """
    writes: list[str] = []
    kills = 0

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(MlflowClient, name)

        def write(self: Any, *arguments: Any, **options: Any) -> Any:
            writes.append(name)
            if before and len(writes) > kills:
                raise Killed
            written = original(self, *arguments, **options)
            if len(writes) > kills:
                raise Killed
            return written

        return write

    with patch.context() as context:
        for name in WRITES:
            context.setattr(MlflowClient, name, counted(name))
        while True:
            writes.clear()
            try:
                return work(), kills
            except Killed:
                kills += 1
