"""The sources that ``params/sources.yaml`` names under ``fetched``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import load, read_yaml
from tasks.core.paths import Paths
from tasks.ingest.fetch.params import FetchedParams
from tasks.resolve.check import mapping

SECTION = "fetched"
"""Key of ``params/sources.yaml``. Files of earlier versions lack it."""


def fetched_names(root: Path) -> list[str]:
    """Names of the fetched sources.

    Raises:
        TunesmithError: ``fetched`` is no mapping of names.
    """
    path = Paths(root).params / "sources.yaml"
    return list(mapping(path, SECTION)) if SECTION in read_yaml(path) else []


def fetched_params(root: Path, name: str) -> FetchedParams:
    """``fetched.name``, checked."""
    return load(FetchedParams, Paths(root).params / "sources.yaml", SECTION, name)


def chosen(root: Path, names: Sequence[str] | None) -> list[str]:
    """``names`` if they are fetched sources; all fetched sources by default.

    Raises:
        TunesmithError: one of ``names`` is none, or there are none at all.
    """
    known = fetched_names(root)
    if not known:
        raise TunesmithError(
            "params/sources.yaml: fetched: names no source, so nothing can be refreshed; name one there (docs/data.md)"
        )
    for name in names or ():
        if name not in known:
            raise TunesmithError(
                f"params/sources.yaml: fetched: has no source {name!r}; it has: {', '.join(known)}"
                f"{did_you_mean(name, known)}"
            )
    return list(dict.fromkeys(names or known))


def refuse_unfetched(root: Path) -> None:
    """Refuse to build a source that was never fetched.

    Raises:
        TunesmithError: with one line per source.
    """
    paths = Paths(root)
    missing = [
        name
        for name in fetched_names(root)
        if not paths.source(name).exists() and not paths.source(name).with_name(f"{name}.dvc").exists()
    ]
    if missing:
        raise TunesmithError(
            "\n".join(
                f"data/sources/{name}: this source was never fetched; run `tunesmith data refresh {name}`, or add "
                "`--refresh` to this run"
                for name in missing
            )
        )
