"""Rows of a task from the Hugging Face hub, or from the copy in its cache."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tasks.core.errors import TunesmithError, described
from tasks.text.rows import Row

_SECONDS = 10


class UnreachableError(TunesmithError):
    """The hub does not answer and no copy is cached."""


def load(
    path: str, name: str | None, splits: list[str], revision: str | None
) -> tuple[dict[str, list[Row]], str | None]:
    """Rows of each of ``splits``, and their commit hash (None if they are from the cache).

    Raises:
        UnreachableError: the hub does not answer and no copy is cached; the error has the reason.
        TunesmithError: the data set has no such split, or the hub refuses it.
    """
    import datasets

    commit, reason = _revision(path, revision)
    if commit is None and not _is_cached(path):
        raise UnreachableError(f"hub data set {path}: {reason}")
    try:
        loaded = datasets.load_dataset(path, name, revision=commit)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UnreachableError(f"hub data set {path}: {described(error)}") from None
    missing = [split for split in splits if split not in loaded]
    if missing:
        raise TunesmithError(f"hub data set {path}: it must have the split {missing[0]!r}; it has {', '.join(loaded)}")
    return {split: loaded[split].to_list() for split in splits}, commit


@cache
def _revision(path: str, revision: str | None) -> tuple[str | None, str]:
    """(commit hash, or None; reason why there is none). One request per data set."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().dataset_info(path, revision=revision, timeout=_SECONDS).sha), ""
    except Exception as error:  # the HTTP library of huggingface_hub changes from version to version
        return None, described(error)


def _is_cached(path: str) -> bool:
    import datasets

    return (Path(datasets.config.HF_DATASETS_CACHE) / path.replace("/", "___")).is_dir()
