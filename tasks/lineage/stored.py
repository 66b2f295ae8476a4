"""Find data of an earlier state: in the workspace, in DVC's cache, or in its remote."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.core.errors import described
from tasks.core.params import read_yaml
from tasks.core.paths import Paths

logger = logging.getLogger("tunesmith")

WORKSPACE, CACHE, REMOTE = "workspace", "cache", "remote"


class Stored:
    """Looks for content by its md5, as ``dvc.lock`` names it."""

    def __init__(self, repo: Any, present: dict[str, str]) -> None:
        """
        Args:
            repo: an open ``dvc.repo.Repo``.
            present: path → md5 of the outputs that the workspace has now.
        """
        self._repo, self._present = repo, present
        self._remote: Any = None
        self._remote_opened = False

    def where(self, path: str, md5: str) -> list[str]:
        """The stores that have the content ``md5`` of ``path``; empty if it is lost."""
        stores = [WORKSPACE] if self._present.get(path) == md5 else []
        if self._repo.cache.local.exists(md5):
            stores.append(CACHE)
        if self._in_remote(md5):
            stores.append(REMOTE)
        return stores

    @property
    def cache(self) -> Path:
        """Folder of DVC's cache."""
        return Path(self._repo.cache.local.path)

    def remote_address(self, md5: str) -> str | None:
        """Address of the object in the remote; None if the remote lacks it, or cannot be reached."""
        if not self._in_remote(md5):
            return None
        path: str = self._remote.oid_to_path(md5)
        return str(self._remote.fs.unstrip_protocol(path))

    def _in_remote(self, md5: str) -> bool:
        remote = self._remote_store()
        try:
            return remote is not None and bool(remote.exists(md5))
        except Exception as error:  # each kind of store has errors of its own
            logger.warning(
                "the remote of DVC cannot be reached (%s); what only it has counts as lost", described(error)
            )
            self._remote = None
            return False

    def _remote_store(self) -> Any:
        """The object store of DVC's default remote; None without a remote, or if it cannot be reached."""
        from dvc.config import NoRemoteError
        from dvc.exceptions import DvcException

        if not self._remote_opened:
            self._remote_opened = True
            try:
                self._remote = self._repo.cloud.get_remote().odb
            except (NoRemoteError, DvcException, OSError):
                self._remote = None
        return self._remote


@contextmanager
def opened_store(paths: Paths) -> Iterator[Stored]:
    """Open DVC for questions about stored content."""
    from dvc.repo import Repo

    lock = paths.root / "dvc.lock"
    stages = read_yaml(lock).get("stages", {}) if lock.exists() else {}
    present = {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if "md5" in out and (paths.root / out["path"]).exists()
    }
    for file in paths.sources.glob("*.dvc"):
        for out in read_yaml(file).get("outs", []):
            relative = (file.parent / out["path"]).relative_to(paths.root)
            if (paths.root / relative).exists():
                present[relative.as_posix()] = out["md5"]
    with Repo(str(paths.root)) as repo:
        yield Stored(repo, present)
