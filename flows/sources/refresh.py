"""Bring fetched sources up to date: fetch into a staging folder, compare and check, and only then replace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.sources import checks
from flows.sources.fetched import SECTION, fetched_params
from flows.sources.parts import refuse_unnamed
from flows.sources.stated import stated_ingest, used_columns
from flows.sources.store import recover, store
from flows.sources.versions import Changes, Version, changes_between, read_old, read_version
from tasks.core import files
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.ingest.fetch.params import FetchedParams
from tasks.ingest.fetch.run import fetch, record_of, stored_record
from tasks.ingest.params import IngestParams
from tasks.ingest.run import data_files

logger = logging.getLogger("tunesmith")

_SHOWN = 5


@dataclass(frozen=True)
class Fetched:
    """A source whose new version is fetched and checked.

    Attributes:
        folder: holds the new version; None if nothing is new.
    """

    name: str
    folder: Path | None


def fetch_and_check(root: Path, name: str, accept: bool = False) -> Fetched:
    """Fetch the source ``name`` into a staging folder, log what is new, and check it. Nothing is replaced yet.

    Call it with the workspace's lock held.

    Args:
        accept: take a version with changed types or too few rows, or without a present version to compare with.

    Raises:
        TunesmithError: the source cannot be fetched, or a check fails. The present version stays.
    """
    params, where = fetched_params(root, name), f"params/sources.yaml: {SECTION}.{name}"
    target = Paths(root).source(name)
    recover(target)
    record = record_of(params, where)
    if params.kind == "hub" and record == stored_record(target):
        logger.info("%s: nothing new (the hub is at the same commit)", name)
        return Fetched(name, None)
    staging = _staging(root, name)
    files.remove(staging)
    staging.mkdir(parents=True)
    fetch(name, params, record, where, root, staging)
    try:
        changed = _compare(root, name, params, staging, accept)
    except TunesmithError as error:
        lines = [f"{name}: {line}" for line in str(error).splitlines()]
        stays = "the present version stays" if target.exists() else "nothing is stored"
        raise TunesmithError(
            "\n".join([*lines, f"{name}: {stays}; what was fetched is in {staging.relative_to(root)}"])
        ) from None
    if not changed:
        files.remove(staging)
        return Fetched(name, None)
    return Fetched(name, staging)


def replace(root: Path, fetched: Fetched) -> None:
    """Put a checked version in the stead of the present one, and let DVC version it.

    Raises:
        TunesmithError: as ``flows.sources.store.store``.
    """
    if fetched.folder is None:
        return
    store(root, Paths(root).source(fetched.name), sorted(fetched.folder.iterdir()), "replace")
    files.remove(fetched.folder)
    logger.info("%s: data/sources/%s has the new version; commit data/sources/%s.dvc", *[fetched.name] * 3)


def _staging(root: Path, name: str) -> Path:
    return Paths(root).state / "refresh" / name


def _compare(root: Path, name: str, params: FetchedParams, staging: Path, accept: bool) -> bool:
    """Log the changes and check them. Return whether there are any.

    Raises:
        TunesmithError: a check fails; one line per problem.
    """
    target, ingest = Paths(root).source(name), stated_ingest(root, name) or IngestParams()
    new = read_version(data_files(staging), ingest, params.key)
    old = _present(target, ingest, params.key, accept)
    changes = changes_between(old, new) if old else None
    if old and changes and changes.none and target.with_name(f"{name}.dvc").exists():
        logger.info("%s: nothing new (%s)", name, counted(new.count, "row"))
        return False
    for line in _report(old, new, changes, by_key=bool(params.key)):
        logger.info("%s: %s", name, line)
    refuse_unnamed(root, name, list(new.rows), True, "refresh again")
    for note in _check(old, new, params, used_columns(root, name), accept):
        logger.info("%s: note: %s", name, note)
    return True


def _present(target: Path, ingest: IngestParams, key: str | None, accept: bool) -> Version | None:
    """The present version; None if there is none, or if it cannot be read and ``accept`` allows this."""
    if not target.exists() and not target.with_name(f"{target.name}.dvc").exists():
        return None
    try:
        if not target.exists():
            raise TunesmithError(
                f"the present version must be in data/sources/{target.name} to be compared with; run "
                f"`dvc pull data/sources/{target.name}.dvc`"
            )
        return read_old(data_files(target), ingest, key)
    except TunesmithError as error:
        if accept:
            return None
        raise TunesmithError(f"{error}; or add `--accept` to take the new version unseen") from None


def _check(old: Version | None, new: Version, params: FetchedParams, used: set[str] | None, accept: bool) -> list[str]:
    """Return harmless differences as notes.

    Raises:
        TunesmithError: with one line per problem.
    """
    needed = sorted({*(used or ()), *([params.key] if params.key else ())})
    problems = checks.schema_problems(old, new, needed)
    problems += [f"{new.problem}; correct what is fetched, or `key`"] if new.problem else []
    notes: list[str] = []
    if old is not None:
        wrong_types, notes = checks.type_problems(old, new, used)
        acceptable = [*wrong_types, *checks.count_problems(old, new, params.min_share)]
        if accept:
            notes, acceptable = [*notes, *acceptable], []
        problems += [f"{line}; correct what is fetched, or accept it (`--accept`)" for line in acceptable]
        notes += checks.column_notes(old, new)
    if problems:
        raise TunesmithError("\n".join(problems))
    return notes


def _report(old: Version | None, new: Version, changes: Changes | None, by_key: bool) -> list[str]:
    if old is None or changes is None:
        return [f"{counted(new.count, 'row')}, columns {', '.join(new.columns)}"]
    kinds = {"new": changes.new, "changed": changes.changed, "vanished": changes.vanished}
    counts = ", ".join(f"{len(rows):,} {kind}" for kind, rows in kinds.items() if by_key or kind != "changed")
    lines = [f"{old.count:,} → {new.count:,} rows: {counts}"]
    lines += [f"{kind}: {_some(rows)}" for kind, rows in kinds.items() if rows]
    return lines + (["the rows are in other files than before"] if changes.moved else [])


def _some(rows: Sequence[str]) -> str:
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return ", ".join(rows[:_SHOWN]) + more
