"""``tunesmith doctor --deep``: hash every output that DVC records, in the workspace and in DVC's cache.

DVC compares the size and the time of a file with those of the last look, and trusts a cached file that is read-only.
So it misses content that was changed in other ways: by root, by a program that restores the time, or by the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml

_LISTING = ".dir"
_NAMED = 3


@dataclass(frozen=True)
class _Output:
    """An output of a stage, or a source that ``dvc add`` tracks; ``md5`` ends with ``.dir`` for a folder."""

    stage: str
    path: str
    md5: str


@dataclass(frozen=True)
class _File:
    """A file of an output: its path in the workspace, in the cache, and its recorded hash."""

    workspace: Path
    cached: Path
    md5: str


def check_outputs(root: Path, say: Callable[[str], None] = lambda line: None) -> str:
    """Hash all outputs; return how many files are as recorded.

    Raises:
        TunesmithError: has one line per output that differs, with the remedy.
    """
    cache = _cache(root)
    lines: list[str] = []
    count, linked, unlisted = 0, 0, 0
    for output in _outputs(root):
        say(f"hashing {output.path}")
        listed = _files(root, cache, output)
        if listed is None:
            unlisted += 1
            continue
        lines += _differences(root, output, listed)
        count += len(listed)
        linked += sum(_is_one(file) for file in listed)
    if linked:
        lines.append(
            f"{counted(linked, 'output file')} and DVC's cache are one file, so a change in place damages both; "
            "`dvc checkout --relink` gives the workspace files of its own"
        )
    if lines:
        raise TunesmithError("\n".join(lines))
    text = f"{counted(count, 'file')} as dvc.lock records them"
    return f"{text}; {counted(unlisted, 'folder')} not checked: the cache lacks the list of files" if unlisted else text


def _cache(root: Path) -> Path:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return Path(repo.cache.local.path)


def _outputs(root: Path) -> Iterator[_Output]:
    lock = root / "dvc.lock"
    stages = read_yaml(lock).get("stages") or {} if lock.exists() else {}
    for stage, entry in stages.items():
        for out in entry.get("outs", []):
            if "md5" in out:
                yield _Output(stage, out["path"], out["md5"])
    for file in sorted((root / "data/sources").glob("*.dvc")):
        name = file.relative_to(root).as_posix()
        for out in read_yaml(file).get("outs", []):
            if "md5" in out:
                yield _Output(name, (file.parent / out["path"]).relative_to(root).as_posix(), out["md5"])


def _files(root: Path, cache: Path, output: _Output) -> list[_File] | None:
    """The files of an output; None for a folder whose list of files the cache lacks."""
    if not output.md5.endswith(_LISTING):
        return [_File(root / output.path, _cached(cache, output.md5), output.md5)]
    listing = _cached(cache, output.md5)
    if not listing.exists() or _md5(listing) != output.md5.removesuffix(_LISTING):
        return None
    entries = json.loads(listing.read_text(encoding="utf-8"))
    return [
        _File(root / output.path / entry["relpath"], _cached(cache, entry["md5"]), entry["md5"]) for entry in entries
    ]


def _cached(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _is_one(file: _File) -> bool:
    return file.workspace.exists() and file.cached.exists() and file.workspace.samefile(file.cached)


def _differences(root: Path, output: _Output, listed: list[_File]) -> list[str]:
    missing = [file for file in listed if not file.workspace.exists()]
    changed = [file for file in listed if file.workspace.exists() and _md5(file.workspace) != file.md5]
    damaged = [file for file in listed if file.cached.exists() and _md5(file.cached) != file.md5]
    lines = []
    if damaged:
        again = f"`rm -r {output.path}`, then `tunesmith run` builds it" if changed or missing else _store(output)
        lines.append(
            f"{output.path}: DVC's cache must hold what was stored; {_named(root, [f.workspace for f in damaged])} "
            f"{'was' if len(damaged) == 1 else 'were'} changed there. "
            f"Remove `{_named(root, [f.cached for f in damaged], all_of_them=True)}`; {again}"
        )
    elif missing or changed:
        wrong = _named(root, [file.workspace for file in missing or changed])
        restored = all(file.cached.exists() for file in missing + changed)
        remedy = f"`dvc checkout --force {output.path}` restores it" if restored else "`tunesmith run` builds it"
        lines.append(
            f"{output.path}: must be as dvc.lock records it; {wrong} {'is missing' if missing else 'was changed'}. "
            f"Remove it (`rm -r {output.path}`); {remedy}"
        )
    return lines


def _store(output: _Output) -> str:
    return f"`dvc commit {output.stage}` then stores the workspace's file again"


def _named(root: Path, paths: list[Path], all_of_them: bool = False) -> str:
    names = [str(path.relative_to(root)) if path.is_relative_to(root) else str(path) for path in paths]
    if all_of_them or len(names) <= _NAMED:
        return " ".join(names) if all_of_them else ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
