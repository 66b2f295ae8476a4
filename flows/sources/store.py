"""Put files into ``data/sources/S`` and let DVC add them; a kill leaves the old version or the new one."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from flows.dvc_lock import run_dvc
from tasks.core import files as file_tools
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths

How = Literal["new", "append", "replace"]
"""``new`` creates the folder, ``append`` keeps its files, ``replace`` removes them."""

logger = logging.getLogger("tunesmith")


def store(root: Path, target: Path, files: Sequence[Path], how: How) -> None:
    """Copy ``files`` to ``target`` and let DVC add it. If that fails, restore the folder as it was.

    Call it with the workspace's lock held, after ``recover``.

    Raises:
        TunesmithError: DVC refuses the folder.
    """
    how = how if target.exists() else "new"
    note = {"files": [path.name for path in files], "how": how, "dvc": _version(target)}
    added = [target / path.name for path in files]
    target.parent.mkdir(parents=True, exist_ok=True)
    with file_tools.replacing(_unfinished(target)) as temporary:
        file_tools.write_json(temporary, note)
    try:
        if how == "append":
            for path, copy in zip(files, added, strict=True):
                with file_tools.replacing(copy) as temporary:
                    shutil.copyfile(path, temporary)
        else:
            _replace(target, files)
        _dvc_add(root, target)
    except BaseException:
        _undo(target, added, how)
        _unfinished(target).unlink()
        raise
    file_tools.remove(_aside(target))
    _unfinished(target).unlink()


def _replace(target: Path, files: Sequence[Path]) -> None:
    """Copy all files first, so that ``target`` is missing only between two renames."""
    with file_tools.replacing(target) as temporary:
        temporary.mkdir()
        for path in files:
            shutil.copyfile(path, temporary / path.name)
        if target.exists():
            target.rename(_aside(target))


def recover(target: Path) -> None:
    """Undo a ``store`` that was killed before DVC had added its files, so that it can run again."""
    path = _unfinished(target)
    if not path.exists():
        return
    note = file_tools.read_json(path)
    if _version(target) == note["dvc"]:
        _undo(target, [target / name for name in note["files"]], note["how"])
        logger.warning(
            "data/sources/%s: an interrupted change is undone, which stored %s", target.name, ", ".join(note["files"])
        )
    file_tools.remove(_aside(target))
    path.unlink()


def recover_all(root: Path) -> None:
    """As ``recover``, for every source. Call it with the workspace's lock held."""
    for path in sorted(Paths(root).sources.glob(".*.adding.json")):
        recover(path.with_name(path.name.removeprefix(".").removesuffix(".adding.json")))


def _aside(target: Path) -> Path:
    """Folder that keeps the replaced files until DVC has added the new ones."""
    return target.with_name(f".{target.name}.before")


def _unfinished(target: Path) -> Path:
    """File that exists while files are stored: ``files`` (their names), ``how``, and ``dvc`` (``_version`` before)."""
    return target.with_name(f".{target.name}.adding.json")


def _version(target: Path) -> str | None:
    """sha256 of the source's ``.dvc`` file, which DVC writes last; None before the first ``dvc add``."""
    path = target.with_name(f"{target.name}.dvc")
    return file_tools.sha256(path) if path.exists() else None


def _undo(target: Path, added: Sequence[Path], how: How) -> None:
    """Leave the folder of the source as it was before ``added`` were stored."""
    if how == "append":
        for path in added:
            file_tools.remove(path)
    elif how == "new":
        file_tools.remove(target)
    elif _aside(target).exists():
        file_tools.remove(target)
        _aside(target).rename(target)


def _dvc_add(root: Path, target: Path) -> None:
    done = run_dvc(root, ["add", str(target.relative_to(root))], logger.warning)
    if done.returncode != 0:
        problem = " ".join(done.stdout.split()).removeprefix("ERROR: ")
        raise TunesmithError(f"dvc add {target.relative_to(root)}: {problem}")
