"""Fetch one source into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.ingest.fetch import moving, queries, urls
from tasks.ingest.fetch.params import FetchedParams

RECORD = ".fetched.json"
"""File beside the fetched files: where they come from, as ``params/sources.yaml`` writes it, and the hub's commit. Its
name begins with a dot, so that ``ingest`` does not read it."""


def record_of(params: FetchedParams, where: str) -> dict[str, Any]:
    """What ``RECORD`` holds for a version that is fetched now. Of the kinds, only ``hub`` uses the network.

    Raises:
        TunesmithError: as ``tasks.ingest.fetch.moving.commit_of``.
    """
    keys = {"url": ("url",), "sql": ("sql",), "hub": ("hub", "revision", "config", "splits")}[params.kind]
    record = {key: value for key in keys if (value := getattr(params, key)) is not None}
    return record | ({"commit": moving.commit_of(params, where)} if params.kind == "hub" else {})


def stored_record(folder: Path) -> dict[str, Any] | None:
    """The record of a source's present version; None if it has none."""
    path = folder / RECORD
    return files.read_json(path) if path.exists() else None


def fetch(name: str, params: FetchedParams, record: dict[str, Any], where: str, root: Path, folder: Path) -> None:
    """Write the files of the source ``name`` and ``RECORD`` into the empty ``folder``.

    Args:
        record: see ``record_of``.
        where: file and key of ``params``, for errors.
        root: the folder from which relative paths start.

    Raises:
        TunesmithError: the files cannot be fetched; see the modules of this folder.
    """
    if params.kind == "url":
        urls.download(params, where, root, folder)
    elif params.kind == "sql":
        queries.run_queries(name, params, where, root, folder)
    else:
        moving.fetch(params, record["commit"], where, folder)
    files.write_json(folder / RECORD, record)
