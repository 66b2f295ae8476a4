"""Keep a copy of ``dvc.lock``, and restore the file if a killed process left it cut off.

DVC does not write ``dvc.lock`` atomically. The copy is as old as the latest flow or command that read the stages. What
was built since then is restored from DVC's run cache.
"""

from __future__ import annotations

import filecmp
import logging
import shutil
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.core import files
from tasks.core.paths import Paths

logger = logging.getLogger("tunesmith")


def keep_copy(root: Path) -> None:
    """Copy ``dvc.lock``, which the caller has read without an error, under DVC's lock."""
    source, copy = root / "dvc.lock", copy_of(root)
    if not source.exists() or (copy.exists() and filecmp.cmp(source, copy, shallow=False)):
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(copy) as temporary:
        shutil.copyfile(source, temporary)


def restore_cut_off(root: Path) -> bool:
    """Replace a ``dvc.lock`` that is cut off by the copy; False if there is none, or if the copy is cut off too."""
    from dvc.repo import Repo, lock_repo

    copy = copy_of(root)
    if not copy.exists():
        return False
    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        if not _is_complete(copy):
            return False
        if not _is_complete(root / "dvc.lock"):
            with files.replacing(root / "dvc.lock") as temporary:
                shutil.copyfile(copy, temporary)
            logger.warning("dvc.lock was cut off, since a process was killed while it wrote it; restored from %s", copy)
    return True


def copy_of(root: Path) -> Path:
    """The copy of ``dvc.lock`` in the workspace ``root``."""
    return Paths(root).state / "dvc.lock"


def _is_complete(path: Path) -> bool:
    """Whether the file fits DVC's schema. DVC itself does not load a file that git ignores, as it does the copy."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    try:
        Lockfile.validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")), str(path))
    except (DvcException, YAMLError, UnicodeDecodeError):
        return False
    return True
