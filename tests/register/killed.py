"""SIGKILL at each write of a decision in turn: those to MLflow, the ledger, the files and the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.registry import journal, keep

_WITH_VALUE = ("set_registered_model_tag", "set_model_version_tag", "update_model_version", "set_tag")
_WITHOUT = ("set_registered_model_alias", "set_logged_model_tags", "create_model_version", "log_artifacts", "log_batch")
_DELETE = ("delete_model_version_tag", "delete_registered_model_alias", "delete_registered_model_tag")
WRITES: list[tuple[Any, str]] = [(MlflowClient, name) for name in (*_WITH_VALUE, *_WITHOUT, *_DELETE)]
WRITES += [(journal, "begin"), (journal, "end"), (keep, "record"), (keep, "show")]


class Killed(BaseException):
    """Stands for SIGKILL: no code may catch it."""


def repeated_until_it_ends(work: Callable[[], Any], before: bool, patch: pytest.MonkeyPatch) -> tuple[Any, set[str]]:
    """Kill ``work`` at its first write, repeat it and kill it at its next other write, and so on.

    Args:
        before: kill before the write instead of after it.

    Returns:
        The last result, and the functions at which it was killed.
    """
    killed: set[tuple[str, ...]] = set()

    def killing(owner: Any, name: str) -> Callable[..., Any]:
        original = getattr(owner, name)

        def write(*arguments: Any, **options: Any) -> Any:
            what = (name, *_names(name, arguments[1:]))
            new = what not in killed
            killed.add(what)
            if before and new:
                raise Killed
            written = original(*arguments, **options)
            if new:
                raise Killed
            return written

        return write

    with patch.context() as context:
        for owner, name in WRITES:
            context.setattr(owner, name, killing(owner, name))
        while True:
            try:
                return work(), {what[0] for what in killed}
            except Killed:
                continue


def _names(function: str, arguments: tuple[Any, ...]) -> list[str]:
    """What is written: the texts among the arguments, without values and temporary folders."""
    texts = [one for one in arguments if isinstance(one, str)]
    if function == "log_artifacts":
        return texts[:1]
    return texts[:-1] if function in _WITH_VALUE else texts
