"""Entries of ``dvc.lock``: read them in one clone and put them into another's, so that data travels by its hash.

Other stages of the flow may end meanwhile, and DVC does not write the file atomically, so both need DVC's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.repo import Repo, lock_repo
from ruamel.yaml import YAML

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml


def entries_of(root: Path, stages: Iterable[str]) -> dict[str, Any]:
    """Stage → its entry in ``dvc.lock``.

    Raises:
        TunesmithError: a stage has no entry, since it was never built.
    """
    path = root / "dvc.lock"
    with _no_dvc_writes(root):
        built: dict[str, Any] = (read_yaml(path).get("stages") or {}) if path.exists() else {}
    wanted = sorted(stages)
    if missing := [address for address in wanted if address not in built]:
        raise TunesmithError(f"{path}: must have an entry of {missing[0]}; it has none; build it first")
    return {address: built[address] for address in wanted}


def put_entries(root: Path, entries: dict[str, Any]) -> None:
    """Add the entries to ``dvc.lock``, in place of those of the same stages."""
    path = root / "dvc.lock"
    with _no_dvc_writes(root):
        content: dict[str, Any] = read_yaml(path) if path.exists() else {"schema": "2.0"}
        content["stages"] = dict(sorted({**(content.get("stages") or {}), **entries}.items()))
        with files.replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
            YAML(typ="safe", pure=True).dump(content, stream)


@contextmanager
def _no_dvc_writes(root: Path) -> Iterator[None]:
    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        yield
